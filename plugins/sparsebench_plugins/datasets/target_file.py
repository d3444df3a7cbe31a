"""Reads targets from a separate file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.errors import DataError
from sparsebench_plugins.datasets.csv_dialect import (
    cells,
    check_size,
    is_number,
    layout_of,
)
from sparsebench_plugins.datasets.label_texts import stripped, targets_of
from sparsebench_plugins.datasets.table_parts import column_at


def read_targets(path: Path, target: str | int | None) -> Array:
    """The targets in an npy file or a text file, one in each row. In a table of text they are in
    the column `target`, a name or position; None: the last one."""
    if path.suffix.lower() == ".npy":
        from sparsebench_plugins.datasets.npy_file import read_npy

        return read_npy(path)
    check_size(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; expected a target in each line") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if path.suffix.lower() in (".csv", ".tsv", ".tab") or target is not None:
        layout = layout_of(path, None, None, None)
        if layout.columns > 1 or layout.names is not None:
            names = layout.names or tuple(f"column {i}" for i in range(layout.columns))
            at = column_at(names, target if target is not None else -1, str(path), "a target")
            start = len(lines) - len(layout.lines)
            lines = [cells(line, layout.separator)[at] for line in lines[start:]]
            return _checked(lines, path)
    if len(lines) > 1 and is_number(lines[1]) and not is_number(lines[0]):
        lines = lines[1:]
    return _checked(lines, path)


def _checked(texts: list[str], path: Path) -> Array:
    texts = stripped(texts)
    if "" in texts:
        raise DataError(f"{path} has no label in row {texts.index('')} (from 0); expected one each")
    y, _ = targets_of(texts)
    return np.asarray(y)
