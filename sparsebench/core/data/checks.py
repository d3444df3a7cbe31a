"""Checks of a data set's arrays that hold for every objective; each mistake is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.scaling import blocks
from sparsebench.errors import DataError

if TYPE_CHECKING:
    from sparsebench.core.data.samples import Parts


def check_parts(parts: Parts) -> None:
    """Check the arrays before anything is computed from them. Raises DataError."""
    source, arrays = parts.source, parts.arrays()
    if (parts.X_test is None) != (parts.y_test is None):
        absent = "X_test" if parts.X_test is None else "y_test"
        raise DataError(f"{source}: {absent} is missing; expected both X_test and y_test, or none")
    for name, array in arrays.items():
        if name.startswith("X"):
            check_features(array, f"{source}: {name}")
            y = arrays["y" + name[1:]]
            if y.ndim < 1 or len(y) != len(array):
                raise DataError(
                    f"{source}: y{name[1:]} has {len(y) if y.ndim else 'no'} rows for {len(array)} "
                    "samples; expected one each"
                )
    if parts.X_test is not None and parts.X_test.shape[1] != parts.X_train.shape[1]:
        raise DataError(
            f"{source}: X_test has {parts.X_test.shape[1]} features and X_train "
            f"{parts.X_train.shape[1]}; expected the same number"
        )


def check_features(X: Array, where: str) -> None:
    """Raise DataError unless X is (samples, features) of finite numbers."""
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
