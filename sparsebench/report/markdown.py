"""The report as GitHub-flavoured markdown, its charts as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sparsebench.report.charts import charts
from sparsebench.report.contents import contents
from sparsebench.report.document import Section
from sparsebench.report.markdown_blocks import inline, printed
from sparsebench.report.png import write_charts

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun


def report(
    stored_runs: Sequence[StoredRun], folder: Path, *, prefix: str = "", links: str = ""
) -> str:
    """The markdown of one report over all the runs; its charts are written into `folder`.

    The files of charts start with `prefix`; `links` goes before their names in the text.
    """
    made = contents(stored_runs)
    blocks = [f"# {inline(made.title)}", *(f"Source: {inline(one)}" for one in made.sources)]
    blocks += [" ".join(map(inline, made.statements)), *map(inline, [made.legend, *made.notes])]
    sections = [*made.where, *made.sections]
    blocks += [block for section in sections for block in _printed(section)]
    files = write_charts(charts(made.found.trained), folder, prefix)
    blocks += ["## Plots"] if files else []
    for file, chart in files:
        title, target = inline(chart.title), quote(links + file.name, safe="/:~")
        words = inline(" ".join([chart.caption, *chart.notes]))
        blocks += [f"### {title}", f"![{title}]({target})", words]
    commands = "\n".join(made.commands)
    blocks += [f"## How to repeat\n\n```sh\n{commands}\n```"] if commands else []
    return "\n\n".join(filter(None, blocks)) + "\n"


def _printed(section: Section) -> list[str]:
    return [f"## {inline(section.title)}", *map(printed, section.blocks)]
