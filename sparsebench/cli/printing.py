"""Printing on stdout: rows as an aligned table, markdown or JSON."""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from sparsebench.core.files import jsonable
from sparsebench.errors import printable
from sparsebench.store.record import Record, primary_of
from sparsebench.suite.labels import label

Row = Mapping[str, Any]

UNLIMITED = 1_000_000
"""Columns of a pipe or a file: rows are wrapped for a terminal only."""


def print_rows(rows: Sequence[Row], format: str = "text", *, json: Any = None) -> None:
    """Print rows with the same keys, which become the header; as JSON, `json` or else the rows."""
    if format == "json":
        print_json(list(rows) if json is None else json)
    elif rows:
        typer.echo(as_markdown(rows) if format == "md" else as_text(rows))


def print_tables(tables: Sequence[Sequence[Row]], format: str, *, json: Any) -> None:
    """Print the tables that have rows, separated by empty lines; or `json`."""
    if format == "json":
        print_json(json)
        return
    for number, rows in enumerate(filter(None, tables)):
        if number:
            typer.echo()
        print_rows(rows, format)


def print_json(data: Any) -> None:
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


def result_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """A row per cell: its status words, and means over the seeds that ended well.

    The primary metric is a column of its name; if the cells have several, one column names it.
    """
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(record.trial.cell, []).append(record)
    rows, metrics = [], []
    for cell in cells.values():
        finished = [record for record in cell if str(record.status) == "ok"]
        primaries = [primary_of(record) for record in finished]
        values = _finite(value for _, value in primaries)
        counts = Counter(str(record.status) for record in cell)
        result = f"{statistics.fmean(values):.4f}" if values else ""
        result += f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        seconds, peaks = (
            _finite(record.measures.get(name) for record in finished)
            for name in ("wall_seconds", "net_peak_bytes")
        )
        metrics.append(primaries[0][0] if values else "")
        rows.append(
            {
                "cell": label(cell[0].trial, seed=False),
                "status": ", ".join(f"{n} {status}" for status, n in counts.items()),
                "result": result,
                "seconds": f"{statistics.fmean(seconds):.1f}" if seconds else "",
                "net peak MiB": f"{statistics.fmean(peaks) / 2**20:.1f}" if peaks else "",
            }
        )
    names = list(dict.fromkeys(filter(None, metrics))) or ["accuracy"]
    if len(names) > 1:
        return [
            {**row, "result": f"{name} {row['result']}".strip()} for row, name in zip(rows, metrics)
        ]
    return [{names[0] if key == "result" else key: v for key, v in row.items()} for row in rows]


def result_numbers(records: Iterable[Record]) -> list[dict[str, Any]]:
    """A row per cell as data: statuses, seeds, and of every measured metric the mean, the standard
    deviation and the number of values, over the seeds that ended well."""
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(record.trial.cell, []).append(record)
    rows = []
    for cell, members in cells.items():
        finished = [record for record in members if str(record.status) == "ok"]
        numbers = {}
        for name in dict.fromkeys(name for record in finished for name in record.measures):
            if values := _finite(record.measures.get(name) for record in finished):
                sd = statistics.stdev(values) if len(values) > 1 else None
                numbers[name] = {"mean": statistics.fmean(values), "sd": sd, "n": len(values)}
        rows.append(
            {
                "id": cell,
                "cell": label(members[0].trial, seed=False),
                "status": dict(Counter(str(record.status) for record in members)),
                "seeds": [record.trial.seed for record in members],
                "trials": [record.trial.id for record in members],
                "metrics": numbers,
            }
        )
    return rows


def _finite(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and math.isfinite(value)]
