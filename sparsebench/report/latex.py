"""Prints the tables of a report as LaTeX for a paper, with booktabs, ready for \\input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sparsebench.analysis.footnote_marks import LEGEND, noise_footnote
from sparsebench.analysis.report_data import ReportData, report_data
from sparsebench.report.document import Bold, Cell, Code, Table, Text, parts, plain
from sparsebench.report.pivot import pivot
from sparsebench.report.sections import contents

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

PREAMBLE = (
    "% Tables of sparsebench, of run {runs}.\n"
    "% Needs \\usepackage{{booktabs,graphicx}} and, with pdfLaTeX, \\usepackage[T1]{{fontenc}}."
)

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "−": r"$-$", "–": "--", "—": "---", "×": r"$\times$", "µ": r"$\mu$",
    "…": r"\ldots{}", "†": r"\dag{}", "‡": r"\ddag{}", "§": r"\S{}", "¶": r"\P{}",
    "∅": r"$\emptyset$",
    "≥": r"$\ge$", "≤": r"$\le$",
    "ε": r"$\varepsilon$", "ζ": r"$\zeta$", "α": r"$\alpha$", "\u00a0": "~", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Characters that are special in LaTeX, or that not every font has. Brackets are put in braces,
because `[` after the end of a row would be read as its spacing."""

AT_MOST_THE_LINE = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
"""Scales down what is wider than the line. `\\width` is the natural width."""

WORDS_OVER = 24
"""If a cell of words has more characters than this, its column gets a fixed width and breaks
lines."""

ROWS_OF_A_PAGE = 40


def report(stored_runs: Sequence[StoredRun]) -> str:
    """The LaTeX of all tables of a report that have a label: on results, time, memory, claims and
    ranks, and those of plugins."""
    made = contents(stored_runs)
    blocks = [PREAMBLE.format(runs=", ".join(plain(run.id) for run in stored_runs))]
    for table in (table for section in made.sections for table in section.tables if table.label):
        about = f"{table.caption} Mean ± standard deviation over n seeds."
        blocks += floats_of(table, _explained(about, table, made.found))
    return "\n\n".join(blocks) + "\n"


def chosen(
    stored_runs: Sequence[StoredRun],
    rows: Sequence[str],
    columns: Sequence[str],
    metrics: Sequence[str],
) -> str:
    """The LaTeX of one table, that of `pivot.pivot`, which explains the arguments."""
    found = report_data(stored_runs).trained
    table = pivot(found, rows, columns, metrics)
    head = PREAMBLE.format(runs=", ".join(plain(run.id) for run in stored_runs))
    return "\n\n".join([head, *floats_of(table, _explained(table.caption, table, found))]) + "\n"


def _explained(caption: str, table: Table, found: ReportData) -> str:
    """The caption, followed by the meaning of the marks in the table."""
    texts = [*table.header, *(plain(cell.text) for row in table.cells for cell in row)]
    notes = [*LEGEND.values(), *noise_footnote(found.trained.ok)]
    used = [note for note in notes if any(note[0] in text for text in texts)]
    return " ".join([caption, *used])


def floats_of(table: Table, caption: str) -> Iterator[str]:
    """Yield a table as LaTeX; in several parts if it has more than `ROWS_OF_A_PAGE` rows."""
    kept = [i for i, name in enumerate(table.header) if name in (table.narrow or table.header)]
    rows = [[row[i] for i in kept] for row in table.cells]
    spec = "".join(
        "r" if i >= table.left
        else r"p{0.16\linewidth}" if max(len(plain(row[at].text)) for row in rows) > WORDS_OVER
        else "l"
        for at, i in enumerate(kept)
    )  # fmt: skip
    for start in range(0, len(rows), ROWS_OF_A_PAGE):
        part = start // ROWS_OF_A_PAGE
        tail = f" (part {part + 1})" if len(rows) > ROWS_OF_A_PAGE else ""
        name = f"{table.label}-{part + 1}" if part else table.label
        lines = [_row(row) for row in rows[start : start + ROWS_OF_A_PAGE]]
        yield "\n".join([
            r"\begin{table}", r"  \centering", r"  \small",
            f"  \\caption{{{inline(caption + tail)}}}", f"  \\label{{tab:sparsebench-{name}}}",
            rf"  {AT_MOST_THE_LINE}{{%",
            f"  \\begin{{tabular}}{{@{{}}{spec}@{{}}}}", r"    \toprule",
            _row([Cell(table.header[i]) for i in kept]), r"    \midrule", *lines,
            r"    \bottomrule", r"  \end{tabular}}", r"\end{table}",
        ])  # fmt: skip


def _row(cells: Sequence[Cell]) -> str:
    return f"    {' & '.join(inline(cell.text) for cell in cells)} \\\\"


def inline(text: Text) -> str:
    """A text as LaTeX, with its bold and code parts; all other characters are escaped."""
    shown = []
    for part in parts(text):
        escaped = "".join(SPECIAL.get(character, character) for character in part)
        command = {Bold: "\\textbf", Code: "\\texttt"}.get(type(part))
        shown.append(f"{command}{{{escaped}}}" if command else escaped)
    return "".join(shown)
