"""Everything that a data set's arrays can have wrong, each told in one line; labels as 0, 1, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.data.standardise import blocks
from sparsebench.errors import DataError

if TYPE_CHECKING:
    from sparsebench.core.data.samples import Parts

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]


def check_parts(parts: Parts) -> None:
    """Everything that arrays can have wrong, before anything is computed from them."""
    source, arrays = parts.source, parts.arrays()
    if (parts.X_test is None) != (parts.y_test is None):
        absent = "X_test" if parts.X_test is None else "y_test"
        raise DataError(f"{source}: {absent} is missing; expected both X_test and y_test, or none")
    for name, array in arrays.items():
        if name.startswith("X"):
            _check_features(array, f"{source}: {name}")
            _check_labels(arrays["y" + name[1:]], array.shape[0], f"{source}: y{name[1:]}")
    if parts.X_test is not None and parts.X_test.shape[1] != parts.X_train.shape[1]:
        raise DataError(
            f"{source}: X_test has {parts.X_test.shape[1]} features and X_train "
            f"{parts.X_train.shape[1]}; expected the same number"
        )


def _check_features(X: Array, where: str) -> None:
    if X.ndim != 2:
        raise DataError(f"{where} has shape {X.shape}; expected two axes, (samples, features)")
    if X.dtype.kind not in "biuf":
        raise DataError(f"{where} has dtype {X.dtype}; expected numbers: encode the others first")
    if 0 in X.shape:
        raise DataError(f"{where} is empty, shape {X.shape}; expected a sample and a feature")
    if X.dtype.kind != "f":
        return
    start = 0
    for block in blocks(X):
        bad = ~np.isfinite(block)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"{where} has {block[row, column]} at row {start + row}, column {column} "
                "(from 0); expected finite numbers: fill in or remove such samples first"
            )
        start += len(block)


def _check_labels(y: Array, samples: int, where: str) -> None:
    if y.ndim != 1:
        raise DataError(f"{where} has shape {y.shape}; expected one axis, a label per sample")
    if y.size != samples:
        raise DataError(f"{where} has {y.size} labels for {samples} samples; expected one each")
    if y.dtype.kind not in "biufUS":
        raise DataError(f"{where} has dtype {y.dtype}; expected integers or strings")
    if y.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(y) | (np.floor(y) != y))
        if odd.size:
            raise DataError(
                f"{where} has {y[odd[0]]} at row {odd[0]}; expected classes, which are integers "
                "or strings: regression is not supported"
            )


def encode_labels(
    y_train: Array, y_test: Array | None, source: str
) -> tuple[Labels, Labels | None, Array]:
    """Labels as 0, 1, ... in the order of the training part's sorted labels, and these."""
    known, codes = np.unique(y_train, return_inverse=True)
    if known.size < 2:
        raise DataError(
            f"{source}: {known.size} class in the training labels ({known[0]}); expected at least 2"
        )
    train = codes.astype(np.int64)
    if y_test is None:
        return train, None, known
    text_train, text_test = (y.dtype.kind in "US" for y in (y_train, y_test))
    if text_train != text_test:
        raise DataError(
            f"{source}: labels are {y_train.dtype} in the train part and {y_test.dtype} in the "
            "test part; expected the same kind"
        )
    test = np.searchsorted(known, y_test).clip(max=known.size - 1).astype(np.int64)
    unseen = np.flatnonzero(known[test] != y_test)
    if unseen.size:
        raise DataError(
            f"{source}: label {y_test[unseen[0]]} at row {unseen[0]} of the test part is not "
            f"among the {known.size} labels of the train part; expected every class in training"
        )
    return train, test, known
