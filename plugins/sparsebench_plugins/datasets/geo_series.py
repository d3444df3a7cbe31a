"""Reads series matrix files of the Gene Expression Omnibus (GEO): fields of the samples, followed
by a table with a gene in each row."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError, nearest
from sparsebench_plugins.datasets.csv_dialect import MISSING, check_size, is_packed, open_text
from sparsebench_plugins.datasets.label_texts import number_note, stripped, targets_of
from sparsebench_plugins.datasets.params import FileParams
from sparsebench_plugins.datasets.table_parts import completed

BEGIN = "!series_matrix_table_begin"
CHARACTERISTICS = "characteristics_ch"


def series_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    """Read a series matrix: each column of the table is a sample, and a field above the table has
    the labels.

    `target` names this field: by the words before the colon of a characteristic ("tissue"), or by
    the name of the field ("source_name_ch1").
    """
    import pandas as pd

    check_size(path)
    try:
        fields, first = _samples(path)
        table = pd.read_csv(
            path, sep="\t", skiprows=first, comment="!", na_values=list(MISSING),
            compression="gzip" if is_packed(path) else None, low_memory=False,
        )  # fmt: skip
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} is not a series matrix of GEO: {reason}") from None
    numbers = table.iloc[:, 1:]
    if numbers.empty or numbers.dtypes.map(lambda one: one.kind not in "biuf").any():
        raise DataError(
            f"{path}: the table holds {'no values' if numbers.empty else 'words'}; expected a "
            "number of each gene and sample (a series of sequencing has its counts in other files)"
        )
    target, notes = None, [f"series matrix of GEO: {len(table)} rows are features"]
    if y is None:
        target, y, found = _targets(fields, options, str(path))
        notes += found
    parts = Parts(
        np.ascontiguousarray(numbers.to_numpy(np.float64).T), y, source=str(path),
        features=[str(one) for one in table.iloc[:, 0]], target=target, notes=tuple(notes),
    )  # fmt: skip
    names = list(numbers.columns)
    return completed(parts, options, where=lambda row: f"sample {names[row]}")


def _samples(path: Path) -> tuple[dict[str, list[str]], int]:
    """The fields of the samples by name, and the number of lines before the table."""
    fields: dict[str, list[str]] = {}
    with open_text(path, "utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if line.startswith(BEGIN):
                return fields, number
            if line.startswith("!Sample_"):
                name, *values = next(csv.reader([line.rstrip("\r\n")], delimiter="\t"))
                for key, found in _named(name.removeprefix("!Sample_"), stripped(values)):
                    fields.setdefault(key, [""] * len(values))
                    fields[key] = [new or old for new, old in zip(found, fields[key], strict=True)]
    raise DataError(f"{path} has no line {BEGIN!r}; expected a series matrix of GEO")


def _named(name: str, values: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the values of a field. A characteristic is split at its colon, for each
    sample separately: the words before it are the name."""
    if not name.startswith(CHARACTERISTICS):
        yield name, values
        return
    pairs = [value.partition(":") for value in values]
    for key in dict.fromkeys(before.strip() for before, colon, _ in pairs if colon):
        yield key, [after.strip() if before.strip() == key else "" for before, _, after in pairs]


def _targets(
    fields: dict[str, list[str]], options: FileParams, source: str
) -> tuple[str, Array, list[str]]:
    several = {
        name: len(set(values))
        for name, values in fields.items()
        if all(values) and 2 <= len(set(values)) <= len(values) // 2
    }
    wanted, said = options.target, []
    if wanted is None and len(several) == 1:
        wanted = next(iter(several))
        said = [f"target: {wanted!r}, the only line with few different values"]
    if not isinstance(wanted, str) or wanted not in fields:
        known = ", ".join(f"{name} ({count} values)" for name, count in several.items())
        guess = nearest(wanted, fields) if isinstance(wanted, str) else ""
        raise DataError(
            f"{source}: which line has the labels? set `target` to one of {known or 'none'}.{guess}"
        )
    if not all(fields[wanted]):
        count = sum(not value for value in fields[wanted])
        raise DataError(f"{source}: {count} samples have no {wanted!r}; expected a label each")
    y, notes = targets_of(fields[wanted])
    return f"line {wanted!r}", y, [*said, *notes, *number_note(repr(wanted), y)]
