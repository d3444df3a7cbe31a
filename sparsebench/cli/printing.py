"""Rows on stdout, as an aligned table, markdown or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from sparsebench.errors import printable

Row = Mapping[str, Any]

UNLIMITED = 1_000_000
"""Columns of a pipe or a file: rows are wrapped for a terminal only."""


def print_rows(rows: Sequence[Row], format: str = "text") -> None:
    """Rows with the same keys, which become the header; "table" is another word for "text"."""
    if format == "json":
        print_json(list(rows))
    elif rows:
        typer.echo(as_markdown(rows) if format == "md" else as_text(rows))


def print_tables(tables: Sequence[Sequence[Row]], format: str) -> None:
    """The tables that have rows, separated by empty lines."""
    for number, rows in enumerate(filter(None, tables)):
        if number:
            typer.echo()
        print_rows(rows, format)


def print_json(data: Any) -> None:
    from sparsebench.core.files import jsonable

    typer.echo(json.dumps(jsonable(data), indent=1, default=str))


def as_text(rows: Sequence[Row]) -> str:
    """Columns aligned under a header, numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for key in rows[0]:
        numeric = all(isinstance(row[key], int | float) for row in rows)
        table.add_column(Text(key), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[key])) for key in rows[0]))
    console = Console(width=None if sys.stdout.isatty() else UNLIMITED, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def as_markdown(rows: Sequence[Row]) -> str:
    cells = [list(rows[0]), *([_cell(row[key]) for key in rows[0]] for row in rows)]
    header, *lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells
    ]
    return "\n".join([header, "|" + "---|" * len(rows[0]), *lines])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))


def append_step_summary(markdown: str) -> None:
    """Add to the summary page of a GitHub workflow, if this runs in one.

    The result has been printed before, so a page that cannot be written is only a note.
    """
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as page:
            page.write(markdown)
    except OSError as error:
        reason = error.strerror or error
        typer.echo(f"note: cannot write GITHUB_STEP_SUMMARY {file}: {reason}", err=True)
