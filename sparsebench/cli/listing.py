"""Rows as aligned text, markdown or JSON, on stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from sparsebench.cli.options import Format
from sparsebench.errors import printable

Row = Mapping[str, Any]


def print_rows(rows: Sequence[Row], format: Format = "text", as_json: bool = False) -> None:
    """Rows with the same keys, which become the header."""
    if as_json or format == "json":
        print_json(list(rows))
    elif rows:
        typer.echo(as_markdown(rows) if format == "md" else as_text(rows))


def print_tables(tables: Sequence[Sequence[Row]], format: Format) -> None:
    """Those that have rows, as text or markdown, an empty line between them."""
    for number, rows in enumerate(filter(None, tables)):
        if number:
            typer.echo()
        print_rows(rows, format)


def print_json(data: Any) -> None:
    from sparsebench.core.files import jsonable

    typer.echo(json.dumps(jsonable(data), indent=1, default=str))


def as_text(rows: Sequence[Row]) -> str:
    """Columns aligned, the header first; numbers to the right."""
    table = _cells(rows)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    right = [all(isinstance(row[key], int | float) for row in rows) for key in rows[0]]
    lines = []
    for line in table:
        aligned = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right)]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def as_markdown(rows: Sequence[Row]) -> str:
    header, *lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in _cells(rows)
    ]
    return "\n".join([header, "|" + "---|" * len(rows[0]), *lines])


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    keys = list(rows[0])
    return [keys, *([_cell(row[key]) for key in keys] for row in rows)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value))
