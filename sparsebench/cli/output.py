"""Printing on stdout: rows as an aligned table, markdown or JSON."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import statistics
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import typer

from sparsebench.core.files import jsonable
from sparsebench.errors import printable
from sparsebench.store.record import Record, primary_of
from sparsebench.suite.labels import label, label_columns

Row = Mapping[str, Any]

UNLIMITED = 1_000_000
"""The width of a pipe or a file, in characters: rows are wrapped only on a terminal."""

SHORT, FOLDED = 16, 56
"""On a terminal, the text of a table's cell of up to SHORT characters is kept on one line if there
is room; a word of more than FOLDED characters, such as a path, may be broken."""


def print_rows(rows: Sequence[Row], format: str = "text", *, json: Any = None) -> None:
    """Print rows with the same keys, which become the header. In format "json", print `json`
    instead, or the rows if that is None."""
    if format == "json":
        print_json(list(rows) if json is None else json)
    elif rows:
        typer.echo(as_markdown(rows) if format == "md" else as_text(rows))


def print_tables(tables: Sequence[Sequence[Row]], format: str, *, json: Any) -> None:
    """Print the tables that have rows, separated by empty lines; in format "json", print `json`
    instead."""
    if format == "json":
        print_json(json)
        return
    for number, rows in enumerate(filter(None, tables)):
        if number:
            typer.echo()
        print_rows(rows, format)


def print_damage(problems: Iterable[str]) -> None:
    """Print a line on stderr for what cannot be read in a store: the first problem, and how many
    more there are; nothing if all are empty."""
    found = list(dict.fromkeys(problem for problem in problems if problem))
    more = f" and {len(found) - 1} more" if found[1:] else ""
    if found:
        typer.echo(f"note: {printable(found[0])}{more}; see: sparsebench store verify", err=True)


def print_json(data: Any) -> None:
    typer.echo(json.dumps(jsonable(data), indent=1, default=str))


def as_text(rows: Sequence[Row]) -> str:
    """An aligned table with a header; numbers are aligned to the right, and columns without any
    value are left out. On a terminal that is too narrow for the table, each row is a block of
    lines."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = {printable(key): [_cell(row[key]) for row in rows] for key in rows[0]}
    shown = {key: cells for key, cells in shown.items() if any(cells)} or shown
    console = Console(width=None if sys.stdout.isatty() else UNLIMITED, color_system=None)
    for short in (SHORT, 0):
        least = {key: _least_width((key, *cells), short) for key, cells in shown.items()}
        if (total := sum(least.values()) + 2 * (len(least) - 1)) <= console.width:
            break
    if total > console.width:
        blocks = ({key: cells[i] for key, cells in shown.items()} for i in range(len(rows)))
        return "\n\n".join(_block(block, console.width) for block in blocks)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for key, cells in shown.items():
        numeric = all(re.fullmatch(r"-?[0-9][0-9.e+-]*|", cell) for cell in cells)
        side: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(Text(key), justify=side, overflow="fold", min_width=least[key])
    for line in zip(*shown.values()):
        table.add_row(*map(Text, line))
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _block(row: Mapping[str, str], width: int) -> str:
    """A row as a block: a line for each column that has a value."""
    head = max(map(len, row)) + 2
    lines = [
        textwrap.fill(
            f"{key.ljust(head)}{cell}", max(width, head + 8), subsequent_indent=" " * head
        )
        for key, cell in row.items()
        if cell
    ]
    return "\n".join(lines)


def _least_width(cells: Sequence[str], short: int) -> int:
    """The smallest width at which no cell of up to `short` letters and no word (except long ones
    such as paths) is broken."""
    parts = [part for cell in cells for part in ([cell] if len(cell) <= short else cell.split())]
    return min(FOLDED, max(map(len, parts), default=0))


def wrapped(text: str) -> str:
    """The text with long lines broken between words and indented, if stdout is a terminal; else
    unchanged."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines = []
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        lines += textwrap.wrap(
            line, width, subsequent_indent=" " * (indent + 2), break_on_hyphens=False
        ) or [""]  # fmt: skip
    return "\n".join(lines)


def as_markdown(rows: Sequence[Row]) -> str:
    cells = [list(map(printable, rows[0])), *([_cell(row[key]) for key in rows[0]] for row in rows)]
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
    """Append text to the summary page of a GitHub workflow, if this runs in one.

    If the page cannot be written, only a note is printed, because the result was printed before.
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
    """A row per cell (the trials that differ only in seed and fold): how its trials ended, and
    means over the trials that ended well.

    The primary metric is a column with its name. If the cells have different primary metrics, the
    column `result` has their names before the values.
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
        if len(set(values)) > 1:
            result += f" ± {statistics.stdev(values):.4f}"
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
    """A row per cell as data: statuses, seeds, and for each measured metric the mean, the standard
    deviation (None for one value) and the number of values, over the trials that ended well."""
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


def result_table(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The rows of `result_rows`, with a column for each grid axis instead of the cell's label."""
    trials = list({record.trial.cell: record.trial for record in reversed(records)}.values())
    by_cell = dict(zip([trial.cell for trial in trials], label_columns(trials, seed=False)))
    cells = dict.fromkeys(record.trial.cell for record in records)
    return [
        {**by_cell[cell], **{key: value for key, value in row.items() if key != "cell"}}
        for cell, row in zip(cells, result_rows(records))
    ]


def _finite(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and math.isfinite(value)]
