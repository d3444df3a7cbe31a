"""Reads a user's npz file, and finds out which of its arrays are features and targets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsebench.core.arrays import Array
from sparsebench.core.data.csr_data import is_dense
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError, nearest
from sparsebench_plugins.datasets.label_texts import number_note
from sparsebench_plugins.datasets.npz_reader import (
    SPLIT,
    Header,
    csr_starts,
    read_headers,
    read_npz,
)
from sparsebench_plugins.datasets.params import FileParams
from sparsebench_plugins.datasets.table_parts import completed

FEATURES = ("x", "data", "features", "inputs", "images")
TARGETS = ("y", "target", "targets", "label", "labels", "class", "classes")
SPELT = {
    "X_train": ("xtrain", "trainx", "traindata", "trainimages"),
    "y_train": ("ytrain", "trainy", "trainlabels", "traintargets"),
    "X_test": ("xtest", "testx", "testdata", "testimages"),
    "y_test": ("ytest", "testy", "testlabels", "testtargets"),
}


def npz_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    """The train and test parts if the file has both and neither y nor `target` names other targets;
    else its features and targets."""
    headers = read_headers(path)
    source, notes = str(path), []
    if isinstance(options.target, int):
        raise DataError(f"{source}: target = {options.target}; expected the name of an array")
    matrices = csr_starts(headers)
    parts_of_csr = {
        name
        for start in matrices.values()
        for name in headers
        if re.fullmatch(re.escape(start) + "(indptr|indices|data|shape|format)", name)
    }
    names = [name for name in headers if name not in parts_of_csr] + list(matrices)
    split = _split(names)
    chosen: Sequence[str]
    if y is None and split is not None and (options.target or "y") in ("y", split[1]):
        chosen = split
        unused = [name for name in names if name not in split]
        if unused:
            notes.append(f"the file's own split is used; {', '.join(unused)} is not")
    else:
        target = None if y is not None else _target(names, headers, options.target, source)
        chosen = [_features(names, headers, matrices, target, source)]
        chosen += [] if target is None else [target]
        if target is not None and ((options.target is None and target != "y") or chosen[0] != "X"):
            notes.append(f"features: array {chosen[0]!r}; target: array {target!r}")
    arrays = read_npz(path, only=chosen)
    turn = options.orientation == "features-in-rows"
    X = [_matrix(arrays[name], turn, name, notes) for name in chosen[::2]]
    Y = [arrays[name] for name in chosen[1::2]] if y is None else [y]
    notes += number_note(repr(chosen[1]) if y is None else "of its own file", Y[0])
    called = None if y is not None else f"array {chosen[1]!r}"
    if len(X) == 2:
        return Parts(X[0], Y[0], X[1], Y[1], source, target=called, notes=tuple(notes))
    if not turn and X[0].shape[0] != len(Y[0]) == X[0].shape[1]:
        raise DataError(
            f"{source}: {chosen[0]} has shape {X[0].shape} for {len(Y[0])} targets; expected "
            '(samples, features): set orientation = "features-in-rows"'
        )
    parts = Parts(X[0], Y[0], source=source, target=called, notes=tuple(notes))
    fill = options.missing != "error" and is_dense(X[0]) and X[0].dtype.kind == "f"
    return completed(parts, options) if fill and len(X[0]) == len(Y[0]) else parts


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _split(names: Sequence[str]) -> list[str] | None:
    if all(name in names for name in SPLIT):
        return list(SPLIT)
    found = [[name for name in names if _plain(name) in SPELT[part]] for part in SPLIT]
    return [one[0] for one in found] if all(len(one) == 1 for one in found) else None


def _target(
    names: Sequence[str], headers: Mapping[str, Header], wanted: str | None, source: str
) -> str:
    if wanted is not None or "y" in names:
        name = wanted if wanted is not None else "y"
        if name not in names:
            raise DataError(f"{source}: no array {name!r} for the labels.{nearest(name, names)}")
        return name
    named = [name for name in names if _plain(name) in TARGETS]
    if len(named) == 1:
        return named[0]
    rows = [name for name in names if name in headers and _is_row(headers[name])]
    if len(names) == 2 and len(rows) == 1:
        return rows[0]
    said = f"; {' and '.join(one for one in SPLIT if one not in names)} missing for a split" * any(
        one in names for one in SPLIT
    )
    raise DataError(
        f"{source}: no array 'y' for the labels{said}: set target, or target_file if they are in "
        f"another file.{nearest('y', names)}"
    )


def _is_row(header: Header) -> bool:
    return len(header.shape) == 1 or (len(header.shape) == 2 and header.shape[1] == 1)


def _features(
    names: Sequence[str],
    headers: Mapping[str, Header],
    matrices: Mapping[str, str],
    target: str | None,
    source: str,
) -> str:
    others = [name for name in names if name != target]
    if "X" in others or len(others) == 1:
        return "X" if "X" in others else others[0]
    named = [name for name in others if _plain(name) in FEATURES]
    wide = [
        name
        for name in others
        if name in matrices or (len(headers[name].shape) > 1 and not headers[name].dtype.hasobject)
    ]
    for found in (named, wide):
        if len(found) == 1:
            return found[0]
    raise DataError(
        f"{source} has arrays {', '.join(sorted(names))}; expected one called X beside the "
        f"labels{'' if target is None else f' {target!r}'}, or {', '.join(SPLIT)}"
    )


def _matrix(X: Any, turn: bool, name: str, notes: list[str]) -> Any:
    """X as (samples, features); each image becomes one row."""
    if turn:
        return X.T.tocsr() if not is_dense(X) else X.T.copy()
    if X.ndim > 2 and X.size:
        notes.append(f"{name} of shape {X.shape} is flattened to a row for each sample")
        return X.reshape(len(X), -1)
    return X
