"""Reads text tables: csv, tsv, and files with other separators; see `csv_dialect`."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError
from sparsebench_plugins.datasets.csv_dialect import (
    MISSING,
    Layout,
    cells,
    check_size,
    is_number,
    is_packed,
    layout_of,
    open_text,
    records,
)
from sparsebench_plugins.datasets.label_texts import number_note, stripped, targets_of
from sparsebench_plugins.datasets.params import FileParams
from sparsebench_plugins.datasets.table_parts import choose_target, completed, parts_of_columns


def text_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    """Read a table in which each row is a sample and each column but the target a feature. If
    `orientation` is features-in-rows, the table is transposed: see `transposed_parts`. `y` is given
    if the targets are in another file."""
    try:
        check_size(path)
        layout = layout_of(path, options.separator, options.decimal, options.header)
        if options.orientation == "features-in-rows":
            return transposed_parts(path, layout, options, y)
        names = [
            f"column {i}" if layout.names is None else layout.names[i]
            for i in range(layout.columns)
        ]
        last = next((i for i in reversed(range(len(names))) if not _blank(layout, names, i)), 0)
        target, why = None, ""
        if y is None:
            target, why = choose_target(
                names[: last + 1], lambda i: _is_text(layout, i), options.target, str(path)
            )
        table = _frame(path, layout, target)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} is not a csv table: {reason}") from None
    return parts_of_columns(
        names, lambda i: table[i], target, options, str(path), why=why, y=y,
        where=lambda row: f"line {layout.lines[row]}", decimal=layout.decimal, notes=layout.notes,
        cell=lambda row, column: _cell(path, layout, row, column),
    )  # fmt: skip


def _frame(path: Path, layout: Layout, words: int | None, **more: Any) -> Any:
    """Read the table with pandas. The cells of the column at position `words` stay as they are
    written. `more` are further arguments of pandas.read_csv.

    pandas reads "NA" and the like as missing values. To prevent that in this column, a converter
    puts "=" before each of its cells, which is cut off afterwards."""
    import pandas as pd

    given: dict[str, Any] = {
        "sep": layout.separator, "decimal": layout.decimal, "header": None, "index_col": False,
        "names": range(layout.columns), "skiprows": layout.skip, "skipinitialspace": True,
        "na_values": list(MISSING), "keep_default_na": False,
        "converters": {} if words is None else {words: "=".__add__},
        "encoding": layout.encoding, "compression": "gzip" if is_packed(path) else None,
        "low_memory": False, **more,
    }  # fmt: skip
    table = pd.read_csv(path, **given)
    if words is not None:
        table[words] = pd.Series([one[1:] for one in table[words]], dtype=object)
    return table


def _cell(path: Path, layout: Layout, row: int, column: int) -> str:
    with open_text(path, layout.encoding) as stream:
        wanted = next(text for number, text in records(stream) if number == layout.lines[row])
    return cells(wanted, layout.separator)[column]


def _is_text(layout: Layout, column: int) -> bool:
    found = [row[column] for row in layout.sample if row[column] not in MISSING]
    return bool(found) and not any(is_number(cell, layout.decimal) for cell in found)


def _blank(layout: Layout, names: list[str], column: int) -> bool:
    return names[column] == "" and all(row[column] == "" for row in layout.sample)


# --- features in rows, such as genes -------------------------------------------------------


def transposed_parts(path: Path, layout: Layout, options: FileParams, y: Array | None) -> Parts:
    """Read a table in which each row is a feature, named by its first cell, and each further column
    a sample.

    Rows of words are not features. Unless y is given, the targets are in the row that `target`
    names, or in the only row of words. Raises DataError if there is no such row.
    """
    words: dict[str, list[str]] = {}
    odd, lines = [], set(layout.lines.tolist())
    with open_text(path, layout.encoding) as stream:
        for number, text in records(stream):
            if number not in lines:
                continue
            start = cells(text[:400], layout.separator)
            head = [one for one in start[1:-1] or start[1:] if one not in MISSING]
            is_words = bool(head) and not any(is_number(one, layout.decimal) for one in head)
            if is_words or start[0] == options.target:
                name, *labels = cells(text, layout.separator)
                words[name] = labels
                odd.append(number)
    names = layout.names
    target = None
    notes = list(layout.notes)
    if y is None:
        target, y, found = _turned_targets(words, options, names, str(path))
        notes += found
    notes += [f"row {one!r} is no feature: it holds words" for one in words if one != target]
    skipped = [*range(layout.skip), *(n - 1 for n in odd)]
    table = _frame(path, layout, 0, skiprows=skipped)
    numbers = table.iloc[:, 1:]
    left = np.setdiff1d(layout.lines, odd)
    features = [str(one) for one in table[0]]
    if numbers.dtypes.map(lambda one: one.kind not in "biuf").any():
        import pandas as pd

        for i in numbers.columns:
            bad = pd.to_numeric(numbers[i].astype(object), errors="coerce").isna()
            bad &= numbers[i].notna()
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise DataError(
                    f"{path}: {features[row]!r} holds {str(numbers[i].iloc[row])[:40]!r} in line "
                    f"{left[row]}, column {i} (from 0); expected a number"
                )
    X = np.ascontiguousarray(numbers.to_numpy(np.float64).T)
    parts = Parts(
        X, y, source=str(path), features=features, notes=tuple(notes),
        target=None if target is None else f"row {target!r}",
    )  # fmt: skip
    return completed(parts, options, where=lambda row: f"sample {row} (from 0)")


def _turned_targets(
    words: dict[str, list[str]], options: FileParams, names: Any, source: str
) -> tuple[str, Array, list[str]]:
    wanted = options.target
    if wanted is None and len(words) == 1:
        wanted = next(iter(words))
    if not isinstance(wanted, str) or wanted not in words:
        raise DataError(
            f"{source}: no row of labels{'' if wanted is None else f' {wanted!r}'}; expected "
            f"`target` to be one of {', '.join(map(repr, list(words)[:20])) or 'none'}, or "
            "target_file to hold a label for each sample"
        )
    y, notes = targets_of(stripped(words[wanted]), options.decimal or ".")
    said = [] if options.target is not None else [f"target: row {wanted!r}, the only one of words"]
    return wanted, y, [*said, *notes, *number_note(repr(wanted), y)]
