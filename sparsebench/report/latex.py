"""The tables of a report for a paper: LaTeX with booktabs, ready for \\input, made from the cells
of the markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sparsebench.analysis.evidence import evidence
from sparsebench.analysis.formats import Table, escape, table, upper_first
from sparsebench.analysis.marks import backend_legend
from sparsebench.analysis.ranks import rankings
from sparsebench.errors import printable
from sparsebench.report import claims, ranks, tables
from sparsebench.report.html.tables import anchor
from sparsebench.report.plugin_sections import plugin_sections

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

PREAMBLE = (
    "% Tables of sparsebench, of run {runs}.\n"
    "% Needs \\usepackage{{booktabs}} and, with pdfLaTeX, \\usepackage[T1]{{fontenc}}."
)

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "−": r"$-$", "–": "--", "—": "---", "×": r"$\times$", "µ": r"$\mu$",
    "…": r"\ldots{}", "†": r"\dag{}", "‡": r"\ddag{}", "§": r"\S{}", "≥": r"$\ge$", "≤": r"$\le$",
    "ε": r"$\varepsilon$", "ζ": r"$\zeta$", "α": r"$\alpha$", "\u00a0": "~", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Characters that mean something to LaTeX, or that not every font has. Brackets are braced, as
`[` after the end of a row would be its spacing."""

COLUMNS = {
    "published": ("claim", "verdict", "why", "source", "trials", "published", "measured"),
    "claims": ("claim", "verdict", "why", "trials", "against", "mean", "mean against"),
}
"""What a page has room for, of tables that have more."""

WORDS_OVER = 24
"""Characters of a cell of words from which on its column has a width and breaks its lines."""

ROWS_OF_A_PAGE = 40

MARKUP = re.compile(r"\*\*(?P<bold>.+?)(?<!\\)\*\*|`(?P<code>[^`]*)`|\\(?P<plain>.)|(?P<any>.)")


def report(stored_runs: Sequence[StoredRun]) -> str:
    """Accuracy, time, memory, claims with their verdicts, and ranks, as far as there are any."""
    found = evidence(stored_runs)
    trained = found.trained
    made: list[tuple[str, str, str]] = [
        (one.primary.name.removeprefix("test_").replace("_", "-"),
         f"{upper_first(one.primary.heading)} after the last epoch.", tables.result_table(one))
        for one in trained.by_primary()
    ]  # fmt: skip
    if not trained.ok.empty:
        made += [
            ("time", "Time: the median over a trial's epochs of assembling batches and training, "
             "plus that of topology updates over the epochs that had one; compilation (warm-up) is "
             "apart.", tables.time_table(trained)),
            ("memory", "Memory: peak of the process minus what it held before the network was "
             "built, the whole process, and the bytes that the network keeps.",
             tables.memory_table(trained)),
            ("other", "Other metrics.", tables.other_table(trained)),
        ]  # fmt: skip
    made += [
        ("published", "Published and measured, with the verdict on each claim.",
         claims.published_table(found)),
        ("claims", "Claims about two sides, with the verdict on each.",
         claims.compared_table(found)),
    ]  # fmt: skip
    if ranked := rankings(trained):
        made += [
            ("ranks", "Average ranks over the data sets.", ranks.ranks_table(ranked)),
            ("rank-tests", "Tests of the average ranks.", ranks.tests_table(ranked)),
        ]
    made += [
        (anchor(section.title), f"{section.title}.", cells)
        for section in plugin_sections(found)
        for cells in section.tables()
    ]
    legend = escape(backend_legend(found.frame))
    parts = [PREAMBLE.format(runs=", ".join(printable(run.id) for run in stored_runs))]
    for label, caption, cells in made:
        if isinstance(cells, Table):
            about = f"{escape(caption)} Mean ± standard deviation over n seeds."
            marked = any(mark in cells for mark in "†‡")
            about = f"{about} {legend}" if marked else about
            parts += floats_of(chosen(cells, COLUMNS.get(label, ())), label, about)
    return "\n\n".join(parts) + "\n"


def chosen(made: Table, names: Sequence[str]) -> Table:
    """A table with these of its columns; with all if there are no names."""
    places = [i for i, name in enumerate(made.header) if name in (names or made.header)]
    left = sum(i < made.left for i in places)
    header, *rows = ([line[i] for i in places] for line in (made.header, *made.rows))
    return table(header, rows, left)


def floats_of(made: Table, label: str, caption: str) -> Iterator[str]:
    """A table environment around a tabular, or several where a page would not hold it; the
    caption is markdown, too."""
    spec = "".join(_column(made, i) for i in range(len(made.header)))
    for start in range(0, len(made.rows), ROWS_OF_A_PAGE):
        part = start // ROWS_OF_A_PAGE
        tail = f" (part {part + 1})" if len(made.rows) > ROWS_OF_A_PAGE else ""
        name = f"{label}-{part + 1}" if part else label
        rows = made.rows[start : start + ROWS_OF_A_PAGE]
        yield "\n".join([
            r"\begin{table}", r"  \centering", r"  \small",
            f"  \\caption{{{inline(caption + tail)}}}", f"  \\label{{tab:sparsebench-{name}}}",
            f"  \\begin{{tabular}}{{@{{}}{spec}@{{}}}}", r"    \toprule",
            f"    {_row(made.header)}", r"    \midrule", *(f"    {_row(row)}" for row in rows),
            r"    \bottomrule", r"  \end{tabular}", r"\end{table}",
        ])  # fmt: skip


def inline(markdown: str) -> str:
    """A cell of markdown as LaTeX: bold, code, and every other character as itself."""
    out = []
    for part in MARKUP.finditer(markdown.replace("&amp;", "&").replace("\n", " ")):
        if part["bold"] is not None:
            out.append(f"\\textbf{{{inline(part['bold'])}}}")
        elif part["code"] is not None:
            out.append(f"\\texttt{{{_escaped(part['code'].replace(chr(92) + '|', '|'))}}}")
        else:
            out.append(_escaped(part["plain"] or part["any"]))
    return "".join(out)


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(inline, cells)) + r" \\"


def _column(made: Table, i: int) -> str:
    if i >= made.left:
        return "r"
    longest = max((len(row[i]) for row in made.rows), default=0)
    return r"p{0.16\linewidth}" if longest > WORDS_OVER else "l"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
