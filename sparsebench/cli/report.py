"""`sparsebench report`: runs as a document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.errors import SparsebenchError

FORMATS = ("md",)


def command(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run ids or directories, or 'latest'.")
    ],
    format: Annotated[str, typer.Option("--format", help="md.")] = "md",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; plots go beside it.")
    ] = None,
    store: o.Store = o.DEFAULT_STORE,
) -> None:
    """Write RUN... as a report: accuracy, time, memory, failures and plots."""
    if format not in FORMATS:
        raise SparsebenchError(f"report --format {format}: only md is there yet")
    from sparsebench.records.export import write_whole
    from sparsebench.records.store import Store
    from sparsebench.reporting.markdown import report

    shelf = Store(store)
    found = [shelf.run(name) for name in runs]
    if output is None:
        folder = found[0].path
        text = report(found, folder, prefix="report-", links=f"{folder}/")
        typer.echo(text, nl=False)
    else:
        text = report(found, output.parent, prefix=f"{output.stem}-")
        write_whole(output, text.encode())
    append_step_summary(text)


def append_step_summary(text: str) -> None:
    """Show the text on the page of the GitHub workflow, if it runs in one.

    The result has been printed by now: a page that cannot be written is a note.
    """
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as page:
            page.write(text)
    except OSError as error:
        typer.echo(
            f"note: cannot write GITHUB_STEP_SUMMARY {file}: {error.strerror or error}", err=True
        )
