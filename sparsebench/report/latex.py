"""The tables of a report for a paper: LaTeX with booktabs, ready for \\input.

They are made from the very cells of the markdown tables, so that the two never disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sparsebench.analysis.evidence import Evidence, evidence
from sparsebench.analysis.formats import Table, escape, table, upper_first
from sparsebench.analysis.marks import backend_legend
from sparsebench.analysis.over_datasets import rankings
from sparsebench.core.metric import Metric
from sparsebench.report import published, ranks_table, tables
from sparsebench.report.html.sections import anchor
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
    head = PREAMBLE.format(runs=", ".join(_plain(run.id) for run in stored_runs))
    return "\n\n".join([head, *_tables(found)]) + "\n"


def _tables(found: Evidence) -> Iterator[str]:
    trained = found.trained
    questions: tuple[tuple[str, str, bool, Callable[[], str]], ...] = (
        *((_label(judged.primary), f"{upper_first(judged.primary.heading)} after the last epoch: "
           "mean ± standard deviation over n seeds.",
           True, partial(tables.result_table, judged)) for judged in trained.by_primary()),
        ("time", "Time: the median over a trial's epochs of assembling batches and training, plus "
         "that of topology updates over the epochs that had one, mean ± standard deviation over n "
         "seeds; compilation (warm-up) is apart.",
         not trained.ok.empty, lambda: tables.time_table(trained)),
        ("memory", "Memory: peak of the process minus what it held before the network was built, "
         "the whole process, and what the network keeps; mean ± standard deviation over n seeds.",
         not trained.ok.empty, lambda: tables.memory_table(trained)),
        ("other", "Other metrics: mean ± standard deviation over n seeds.",
         not trained.ok.empty, lambda: tables.other_table(trained)),
        ("published", "Published and measured, with the verdict on each claim.",
         True, lambda: published.published_table(found)),
        ("claims", "Claims about two sides, with the verdict on each.",
         True, lambda: published.compared_table(found)),
    )  # fmt: skip
    legend = backend_legend(found.frame).removesuffix(" See the honesty audit.")
    for label, caption, there, make in questions:
        made = make() if there else ""
        if isinstance(made, Table):
            marked = any(mark in made for mark in "†‡")
            told = f"{escape(caption)} {legend if marked else ''}".strip()
            yield from floats_of(chosen(made, COLUMNS.get(label, ())), label, told)
    for section in plugin_sections(found):
        for made in section.tables():
            yield from floats_of(made, anchor(section.title), escape(f"{section.title}."))
    ranked = rankings(trained)
    if ranked:
        told = " ".join(ranks_table.verdict(one) for one in ranked)
        made = ranks_table.ranks_table(ranked)
        if isinstance(made, Table):
            yield from floats_of(made, "ranks", f"Average ranks over the data sets. {told}")


def _label(metric: Metric) -> str:
    return metric.name.removeprefix("test_").replace("_", "-")


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
        body = [_row(row) for row in made.rows[start : start + ROWS_OF_A_PAGE]]
        name = f"{label}-{part + 1}" if part else label
        yield _float(spec, _row(made.header), body, name, inline(caption + tail))


def _float(spec: str, header: str, body: Sequence[str], label: str, caption: str) -> str:
    return "\n".join([
        r"\begin{table}", r"  \centering", r"  \small",
        f"  \\caption{{{caption}}}", f"  \\label{{tab:sparsebench-{label}}}",
        f"  \\begin{{tabular}}{{@{{}}{spec}@{{}}}}", r"    \toprule",
        f"    {header}", r"    \midrule", *(f"    {row}" for row in body),
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
    return " & ".join(inline(" ".join(cell.split())) for cell in cells) + r" \\"


def _column(made: Table, i: int) -> str:
    if i >= made.left:
        return "r"
    longest = max((len(row[i]) for row in made.rows), default=0)
    return r"p{0.16\linewidth}" if longest > WORDS_OVER else "l"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)


def _plain(text: str) -> str:
    """For a comment: one line."""
    return " ".join(text.split())
