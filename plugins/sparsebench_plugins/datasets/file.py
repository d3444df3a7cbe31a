"""A user's own npz or csv file."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError, nearest
from sparsebench.machine import available_memory
from sparsebench_plugins.datasets.npz import SPLIT, Arrays, parts_of, read_npz
from sparsebench_plugins.datasets.params import FileParams

MOST_COLUMNS = 1_000_000
LONGEST_HEADER = 64 * 2**20
BYTES_PER_CHARACTER = 4
"""A number takes 8 bytes once it is read, and in the text 2 at the least."""


@dataclass(frozen=True)
class File(FileParams):
    """Labels of any integers or strings; the split is the file's, or drawn from the seed."""

    def load(self) -> Parts:
        path = self.file()
        if path.suffix == ".npz":
            return npz_parts(read_npz(path), self.target, str(path))
        if path.suffix == ".csv" or path.name.endswith(".csv.gz"):
            return csv_parts(path, self.target)
        raise DataError(f"{path} ends in {path.suffix!r}; expected .npz, .csv or .csv.gz")


def npz_parts(arrays: Arrays, target: str | None, source: str) -> Parts:
    """A split where the four arrays are there; else labels `target`, and X or the only other."""
    name = target if target is not None else "y"
    if name == "y" and "y" not in arrays and all(part in arrays for part in SPLIT):
        return parts_of(arrays, source)
    if name not in arrays:
        raise DataError(f"{source}: no array {name!r} for the labels.{nearest(name, arrays)}")
    others = [other for other in arrays if other != name]
    features = "X" if "X" in others else others[0] if len(others) == 1 else None
    if features is None:
        raise DataError(
            f"{source} has arrays {', '.join(sorted(arrays))}; expected one called X beside the "
            f"labels {name!r}, or {', '.join(SPLIT)}"
        )
    return Parts(arrays[features], arrays[name], source=source)


def csv_parts(path: Path, target: str | None) -> Parts:
    """A table with a header row, every column but the target a feature."""
    import pandas as pd

    try:
        check_size(path)
        table = pd.read_csv(path)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} is not a csv table with a header row: {reason}") from None
    names = [str(column) for column in table.columns]
    if table.empty:
        raise DataError(f"{path} has no rows below its header; expected a sample in each")
    if all(_is_number(name) for name in names):
        raise DataError(
            f"{path}: the first row, {', '.join(names[:3])}, holds numbers; expected a header row "
            "with a name for each column: add one"
        )
    name = names[-1] if target is None else target
    if name not in names:
        raise DataError(f"{path}: no column {name!r} for the labels.{nearest(name, names)}")
    if len(names) < 2:
        raise DataError(f"{path} has the column {name!r} only; expected features beside it")
    features = table.drop(columns=table.columns[names.index(name)])
    for column in features.columns:
        if not pd.api.types.is_numeric_dtype(features[column]):
            raise DataError(
                f"{path}: column {column!r} holds {features[column].dtype}; expected numbers in "
                f"every column but the target {name!r}: encode or remove it"
            )
    labels = table[table.columns[names.index(name)]]
    return Parts(
        features.to_numpy(np.float64), _labels(labels, f"{path}: {name}"), source=str(path)
    )


def check_size(path: Path) -> None:
    """DataError for a header too wide, or for more text than memory has room for as numbers.

    A packed file is unpacked for that piece by piece, and no further than there is room.
    """
    room = available_memory() // BYTES_PER_CHARACTER
    packed = path.name.endswith(".gz")
    with gzip.open(path) if packed else path.open("rb") as stream:
        header = stream.readline(LONGEST_HEADER + 1)
        columns = header.count(b",") + 1
        if len(header) > LONGEST_HEADER or columns > MOST_COLUMNS:
            many = f"{columns:,}" if len(header) <= LONGEST_HEADER else f"over {columns:,}"
            raise DataError(
                f"{path}: its header row has {many} columns, {len(header):,} bytes; expected at "
                f"most {MOST_COLUMNS:,}: for wider data use npz"
            )
        size = len(header) if packed else path.stat().st_size
        while packed and size <= room and (piece := stream.read(2**20)):
            size += len(piece)
    if size > room:
        raise DataError(
            f"{path} has {'more than ' if packed else ''}{size / 2**30:.1f} GiB of text, which as "
            "numbers does not fit into the free memory; expected a set that fits, such as an npz"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(column: Any, where: str) -> npt.NDArray[Any]:
    """Integers as they are, everything else as strings; a missing label is an error."""
    import pandas as pd

    missing = np.flatnonzero(column.isna())
    if missing.size:
        raise DataError(f"{where} has no label at row {missing[0]} (from 0); expected one each")
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy())
    return np.asarray(column.to_numpy().astype(str))
