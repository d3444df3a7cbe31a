"""Turns the columns of a table into features and targets, and handles missing values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError, nearest
from sparsebench_plugins.datasets.csv_dialect import MISSING
from sparsebench_plugins.datasets.label_texts import number_note, stripped, targets_of
from sparsebench_plugins.datasets.params import FileParams

TARGET_NAMES = ("class", "label", "labels", "target")
COUNTED = 10
"""With at least this many rows, a column of 0, 1, 2, ... or 1, 2, 3, ... is taken for row numbers.
"""


def column_at(names: Sequence[str], wanted: str | int, source: str, what: str) -> int:
    """The position of a column, given its name or position."""
    if isinstance(wanted, int):
        if not -len(names) <= wanted < len(names):
            raise DataError(
                f"{source} has {len(names)} columns; expected {what} of {-len(names)} to "
                f"{len(names) - 1}, not {wanted}"
            )
        return wanted % len(names)
    if wanted not in names:
        known = nearest(wanted, names[:50])
        raise DataError(f"{source}: no column {wanted!r} for the labels.{known}")
    return list(names).index(wanted)


def choose_target(
    names: Sequence[str], is_text: Callable[[int], bool], wanted: str | int | None, source: str
) -> tuple[int, str]:
    """The position of the target's column, and the reason for the choice: the column `wanted`; or
    the only one with a usual name, if the last column holds numbers; else the last column."""
    if wanted is not None:
        return column_at(names, wanted, source, "a target"), "as given"
    last = len(names) - 1
    if not is_text(last):
        called = [i for i, name in enumerate(names) if name.strip().lower() in TARGET_NAMES]
        if len(called) == 1 and called[0] != last:
            return called[0], "by its name"
    return last, "the last column"


def parts_of_columns(
    names: Sequence[str],
    column: Callable[[int], Any],
    target: int | None,
    options: FileParams,
    source: str,
    *,
    why: str = "",
    where: Callable[[int], str] = lambda row: f"row {row} (from 0)",
    cell: Callable[[int, int], str] | None = None,
    decimal: str = ".",
    y: Array | None = None,
    notes: Sequence[str] = (),
) -> Parts:
    """The features and targets of a table. Raises DataError if they cannot be used.

    column  returns the pandas column at a position
    target  position of the target's column; None: the targets are y
    why     why this column is the target
    where   returns in words where a row is in the file, for messages
    cell    returns the text of a row in a column, for messages
    y       targets that are not in the table
    """
    from pandas.api.types import is_numeric_dtype

    said = list(notes)
    left = _left_out(names, column, target, options, source, said)
    chosen = [i for i in range(len(names)) if i != target and i not in left]
    if not chosen:
        only = names[target] if target is not None else names[0]
        raise DataError(f"{source} has the column {only!r} only; expected features beside it")
    for i in chosen:
        if not is_numeric_dtype(column(i)):
            _refuse_text(column(i), names[i], source, where, decimal, why)
    X = np.empty((len(column(chosen[0])), len(chosen)))
    for at, i in enumerate(chosen):
        X[:, at] = column(i).to_numpy(np.float64, na_value=np.nan)
    if options.leave_out is None:
        counts = [] if len(X) < COUNTED else _counters(X)
        if counts and len(counts) < len(chosen):
            said += [
                f"column {names[chosen[at]]!r} numbers the rows and is left out "
                "(leave_out = [] keeps it)"
                for at in counts
            ]
            X = np.delete(X, counts, axis=1)
            chosen = [i for at, i in enumerate(chosen) if at not in counts]
    keep = np.ones(len(X), dtype=bool)
    title = None
    if target is not None:
        name = names[target]
        title = f"column {name!r}, {why}"
        y, keep = _targets(column(target), f"{source}: {name}", where, options, decimal, said)
        if why != "as given":
            said.append(f"target: {title}, of {len(names)}")
        said += number_note(repr(name), y)
    assert y is not None
    features = [names[i] for i in chosen]
    return completed(
        Parts(X, y, source=source, features=features, target=title, notes=tuple(said)),
        options, keep, where,
        None if cell is None else lambda row, at: cell(row, chosen[at]),
    )  # fmt: skip


def completed(
    parts: Parts,
    options: FileParams,
    keep: Array | None = None,
    where: Callable[[int], str] = lambda row: f"row {row} (from 0)",
    cell: Callable[[int, int], str] | None = None,
) -> Parts:
    """The parts with missing values (nan) handled according to `options.missing`: replaced by 0, or
    their samples dropped, or left for `prepare` to fill in after the split; or DataError is raised.

    keep  (samples,) False for samples without a target, which are dropped; parts.y_train has no
          entries for them
    """
    X, y, source = parts.X_train, parts.y_train, parts.source
    if keep is None or len(keep) != len(X):
        keep = np.ones(len(X), dtype=bool)
    rows = np.flatnonzero(keep)
    if not keep.all():
        X = X[keep]
    if len(y) != len(X):
        return replace(parts, X_train=X)  # which `check_parts` refuses
    gone = np.isnan(X)
    count = int(gone.sum())
    names = parts.features
    notes = list(parts.notes)
    if not count:
        return replace(parts, X_train=X)
    row, at = (int(i) for i in np.argwhere(gone)[0])
    name = repr(names[at]) if names is not None else str(at)
    if options.missing == "error":
        row = int(rows[row])
        written = cell(row, at) if cell is not None else ""
        found = repr(written) if written else "no value"
        raise DataError(
            f"{source}: column {name} has {found} in {where(row)}; expected a number: fill "
            f'them in ({count} are missing), or set missing = "mean", "median", "zero" or '
            '"drop"'
        )
    if options.missing == "drop":
        full = ~gone.any(axis=1)
        notes.append(f"{int((~full).sum())} samples with missing values are dropped")
        if not full.any():
            raise DataError(f"{source}: no sample is without missing values; nothing is left")
        return replace(parts, X_train=X[full], y_train=y[full], notes=tuple(notes), missing=count)
    if options.missing == "zero":
        X[gone] = 0.0
        notes.append(f"{count} missing values are filled with 0")
        return replace(parts, X_train=X, notes=tuple(notes), missing=count)
    notes.append(
        f"{count} missing values are filled with each feature's {options.missing} over the "
        "training samples"
    )
    return replace(parts, X_train=X, notes=tuple(notes), missing=count, fill=options.missing)


def _left_out(
    names: Sequence[str],
    column: Callable[[int], Any],
    target: int | None,
    options: FileParams,
    source: str,
    said: list[str],
) -> set[int]:
    """The positions of columns that are not features: those of `leave_out`; or if that is None, a
    first column of row numbers or sample names, and an empty last column. Adds notes to `said`."""
    from pandas.api.types import is_numeric_dtype

    if options.leave_out is not None:
        return {column_at(names, one, source, "one to leave out") for one in options.leave_out}
    left = set()
    first, last = column(0), len(names) - 1
    if target != 0 and len(names) > 2:
        words = not is_numeric_dtype(first)
        unnamed = names[0] in ("", "Unnamed: 0", "rownames")
        whole = not words and first.notna().all() and bool((first == first // 1).all())
        if (words or (unnamed and whole)) and first.notna().all() and first.is_unique:
            left.add(0)
            called = f" {names[0]!r}" if names[0] else ""
            what = "names the samples" if words else "numbers the rows"
            said.append(
                f"the first column{called} {what} and is left out (leave_out = [] keeps it)"
            )
    if names[last] == "" and target != last and column(last).isna().all():
        left.add(last)
    return left


def _counters(X: Array) -> list[int]:
    count = np.arange(len(X))
    likely = np.flatnonzero(np.isin(X[0], (0, 1)) & (X[1] - X[0] == 1))
    return [int(at) for at in likely if np.array_equal(X[:, at] - X[0, at], count)]


def _refuse_text(
    series: Any, name: str, source: str, where: Callable[[int], str], decimal: str, why: str
) -> None:
    import pandas as pd

    texts = series.astype(object)
    spelt = texts.map(lambda one: one.replace(decimal, ".") if isinstance(one, str) else one)
    odd = texts.notna() & pd.to_numeric(spelt, errors="coerce").isna()
    if not odd.any():
        return
    row = int(np.flatnonzero(odd.to_numpy())[0])
    found = str(texts.iloc[row])
    most = int(odd.sum()) > len(texts) / 2
    hint = (
        f"encode it, leave it out with leave_out = [{name!r}]"
        + ("" if why in ("as given", "") else f", or make it the target with target = {name!r}")
        if most
        else "write plain numbers, without thousands marks or units"
    )
    raise DataError(
        f"{source}: column {name!r} holds {found[:40]!r} in {where(row)}; expected numbers in "
        f"every column but the target: {hint}"
    )


def _targets(
    series: Any,
    where_it_is: str,
    where: Callable[[int], str],
    options: FileParams,
    decimal: str,
    said: list[str],
) -> tuple[Array, Array]:
    """The known targets, and a mask of the rows that have one."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    missing = series.isna().to_numpy()
    numeric = is_numeric_dtype(series) and not is_bool_dtype(series)
    texts: list[str] = []
    if not numeric:
        raw = [
            "" if gone else one.decode() if isinstance(one, bytes) else str(one)
            for one, gone in zip(series, missing)
        ]
        texts = stripped(raw)
        if len(set(texts)) < len(set(raw)):
            said.append("spaces around labels are removed, and labels alike are one class")
        missing = np.array([text == "" for text in texts], dtype=bool)
    if missing.any():
        if options.missing != "drop":
            raise DataError(
                f"{where_it_is} has no label in {where(int(np.flatnonzero(missing)[0]))}; expected "
                f'one each: {int(missing.sum())} are missing, and missing = "drop" leaves such '
                "samples out"
            )
        said.append(f"{int(missing.sum())} samples without a label are dropped")
        if missing.all():
            raise DataError(f"{where_it_is} has no labels; expected one each")
    if numeric:
        return np.asarray(series.to_numpy()[~missing]), ~missing
    y, notes = targets_of([text for text, gone in zip(texts, missing) if not gone], decimal)
    said += notes
    unknown = sorted({str(one) for one in y if str(one) in MISSING}) if y.dtype.kind == "U" else []
    if unknown:
        said.append(f"labels {', '.join(unknown)} are classes like the others, not missing values")
    return y, ~missing
