"""`sparsebench report`: runs as a document."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.errors import SparsebenchError, nearest

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

FORMATS = {"md": (".md",), "html": (".html", ".htm"), "latex": (".tex",)}
"""Each with the endings of files that select it."""


def command(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run ids or directories, or 'latest'.")
    ],
    store: o.Store,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}. Default: by the ending of -o, else md.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="File to write; the plots of markdown go beside it, html contains its own.",
        ),
    ] = None,
) -> None:
    """Write a report of one or more runs.

    Accuracy, time, memory, claims, failures and plots.
    """
    from sparsebench.cli.printing import append_step_summary
    from sparsebench.store.output import write_output
    from sparsebench.store.store import Store

    ending = output.suffix.lower() if output is not None else ""
    if format is None:
        format = next((name for name, endings in FORMATS.items() if ending in endings), "md")
    if format not in FORMATS:
        raise SparsebenchError(f"no report format {format!r}.{nearest(format, FORMATS)}")
    found = [Store(store).run(name) for name in runs]
    markdown = None
    if format == "md":
        from sparsebench.report.markdown import report

        if output is None:
            markdown = text = _printed_markdown(found)
        else:
            markdown = text = report(found, output.parent, prefix=f"{output.stem}-")
    elif format == "html":
        from sparsebench.report.html.page import report as html_report

        text = html_report(found)
        if output is None:
            output = found[0].path / "report.html"
            typer.echo(str(output))
    else:
        from sparsebench.report.latex import report as latex_report

        text = latex_report(found)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_output(output, text)
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        append_step_summary(_printed_markdown(found) if markdown is None else markdown)


def _printed_markdown(runs: Sequence[StoredRun]) -> str:
    """The report with its plots in the first run's folder."""
    from sparsebench.report.markdown import report

    folder = runs[0].path
    return report(runs, folder, prefix="report-", links=f"{folder}/")
