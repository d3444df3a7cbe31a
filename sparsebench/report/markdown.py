"""Prints the report as GitHub-flavoured markdown, with its charts as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sparsebench.report.document import Chart, Section
from sparsebench.report.markdown_blocks import inline, printed
from sparsebench.report.png import write_charts
from sparsebench.report.sections import contents

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun


def report(
    stored_runs: Sequence[StoredRun],
    folder: Path,
    earlier: Sequence[StoredRun] = (),
    *,
    prefix: str = "",
    links: str = "",
) -> str:
    """The markdown of one report over all the runs. Its charts are written into `folder`.

    prefix   the start of the charts' file names
    links    is put before these names in the text
    earlier  runs that only appear in the section on history
    """
    made = contents(stored_runs, earlier)
    files = write_charts([*made.charts, *made.in_sections], folder, prefix)
    pictures = {chart.name: quote(links + file.name, safe="/:~") for file, chart in files}

    def section(one: Section) -> list[str]:
        return [f"## {inline(one.title)}", *(printed(block, pictures) for block in one.blocks)]

    def chart(one: Chart) -> list[str]:
        return [f"### {inline(one.title)}", printed(one, pictures)]

    blocks = [f"# {inline(made.title)}", *(f"Source: {inline(one)}" for one in made.sources)]
    blocks += [" ".join(map(inline, made.statements)), *map(inline, [made.legend, *made.notes])]
    blocks += [block for one in made.charts[:1] for block in chart(one)]
    blocks += [block for one in (*made.where, *made.sections) for block in section(one)]
    blocks += ["## Plots"] if made.charts[1:] else []
    blocks += [block for one in made.charts[1:] for block in chart(one)]
    commands = "\n".join(made.commands)
    blocks += [f"## How to repeat\n\n```sh\n{commands}\n```"] if commands else []
    return "\n\n".join(filter(None, blocks)) + "\n"
