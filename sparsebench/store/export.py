"""Frames as csv, json or parquet, written whole or not at all."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from sparsebench.core.files import jsonable
from sparsebench.errors import SparsebenchError, nearest
from sparsebench.metrics import Metrics
from sparsebench.store.output import write_output

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet read a text cell as a formula."""


def export(
    frame: pd.DataFrame, format: str, path: Path | None = None, metrics: Metrics | None = None
) -> None:
    """Write the frame to `path`, or to stdout.

    metrics  says which columns count something; the built-in ones where None
    """
    try:
        content = WRITERS[format](frame, metrics)
    except KeyError:
        known = [*WRITERS, *OF_RUNS]
        raise SparsebenchError(f"unknown format {format!r}.{nearest(format, known)}") from None
    write(content, path)


def write(content: bytes, path: Path | None) -> None:
    """To `path`, or to stdout."""
    if path is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        write_output(path, content)


def to_csv(frame: pd.DataFrame, metrics: Metrics | None = None) -> bytes:
    """Numbers by repr, so that they read back the same; unknown is empty, a list JSON text."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_harmless(str(name)) for name in frame.columns])
    for row in _rows(frame, metrics):
        writer.writerow([_csv_cell(value) for value in row])
    return text.getvalue().encode()


def to_json(frame: pd.DataFrame, metrics: Metrics | None = None) -> bytes:
    """A list of objects, one per row; unknown is null, infinity is the string "inf"."""
    names = [str(name) for name in frame.columns]
    rows = [jsonable(dict(zip(names, row))) for row in _rows(frame, metrics)]
    return (json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def to_parquet(frame: pd.DataFrame, metrics: Metrics | None = None) -> bytes:
    if importlib.util.find_spec("pyarrow") is None:
        raise SparsebenchError(
            "format parquet needs pyarrow, which is not installed; "
            "get it with: pip install 'sparsebench[parquet]'"
        )
    counts = {name: "Int64" for name in frame.columns if _is_whole(frame[name], metrics)}
    content = io.BytesIO()
    frame.astype(counts).to_parquet(content, engine="pyarrow", index=False)
    return content.getvalue()


OF_RUNS = (
    "pytest-benchmark", "github-action-benchmark", "github-action-benchmark-bigger", "bencher",
)  # fmt: skip
"""Formats of other tools, which are no tables: made of a run, not of a frame."""

WRITERS = {"csv": to_csv, "json": to_json, "parquet": to_parquet}


def _rows(frame: pd.DataFrame, metrics: Metrics | None) -> list[list[Any]]:
    """The rows as Python values: counts as int, unknown as None."""
    columns = [
        [_value(value, _counts(str(name), metrics)) for value in frame[name].tolist()]
        for name in frame.columns
    ]
    return [list(row) for row in zip(*columns)]


def _counts(column: str, metrics: Metrics | None) -> bool:
    """Whether a column counts something; numbered ones such as connections_1 are their metric's."""
    stem, _, number = column.rpartition("_")
    known = metrics or Metrics()
    return known.declaration(stem if number.isdigit() else column).is_whole


def _is_whole(column: pd.Series[Any], metrics: Metrics | None) -> bool:
    """Whether it counts something, and holds whole numbers as it should."""
    return _counts(str(column.name), metrics) and bool((column.dropna() % 1 == 0).all())


def _value(value: Any, whole: bool) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return int(value) if whole and math.isfinite(value) and value == int(value) else value


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return json.dumps(jsonable(value), separators=(",", ":"))
    return _harmless(value) if isinstance(value, str) else repr(value)


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe goes before it.

    A carriage return, which the csv module does not quote, becomes a new line.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{lines}" if text.startswith(FORMULA_STARTS) else lines
