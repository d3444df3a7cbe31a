"""Checks of loaded arrays that do not depend on the objective."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.csr_data import checked_csr, is_dense
from sparsebench.core.data.feature_scaling import blocks
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError


def check_parts(parts: Parts) -> Parts:
    """Check that the shapes of the parts fit together and that their features are finite, and
    return the parts; in csr, the features of each sample are sorted. Raises DataError with a
    one-line message."""
    source, arrays = parts.source, parts.arrays()
    if (parts.X_test is None) != (parts.y_test is None):
        absent = "X_test" if parts.X_test is None else "y_test"
        raise DataError(f"{source}: {absent} is missing; expected both X_test and y_test, or none")
    for name, array in arrays.items():
        if name.startswith("X"):
            arrays[name] = check_features(array, f"{source}: {name}", parts.fill is not None)
            y, samples = arrays["y" + name[1:]], array.shape[0]
            if y.ndim < 1 or len(y) != samples:
                raise DataError(
                    f"{source}: y{name[1:]} has {len(y) if y.ndim else 'no'} rows for {samples} "
                    "samples; expected one each"
                )
    if parts.X_test is not None and parts.X_test.shape[1] != parts.X_train.shape[1]:
        raise DataError(
            f"{source}: X_test has {parts.X_test.shape[1]} features and X_train "
            f"{parts.X_train.shape[1]}; expected the same number"
        )
    if parts.X_test is None:
        return replace(parts, X_train=arrays["X"])
    if is_dense(parts.X_test) != is_dense(parts.X_train):
        raise DataError(f"{source}: one of X_train and X_test is csr; expected both, or none")
    return replace(parts, X_train=arrays["X_train"], X_test=arrays["X_test"])


def labels_of(y: Array) -> Array:
    """The labels (n,) of a column (n, 1) or of one-hot labels (n, classes); other y are returned
    unchanged."""
    if y.ndim != 2:
        return y
    if y.shape[1] == 1:
        return y[:, 0]
    if y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        labels: Array = y.argmax(axis=1)
        return labels
    return y


def check_features(X: Any, where: str, may_miss: bool = False) -> Any:
    """Check and return X; in csr, the features of each sample are sorted. Raises DataError unless X
    is (samples, features), not empty, and its numbers are finite. With `may_miss`, a dense X may
    also have nan."""
    if X.ndim != 2:
        raise DataError(f"{where} has shape {X.shape}; expected two axes, (samples, features)")
    if X.dtype.kind not in "biuf":
        raise DataError(f"{where} has dtype {X.dtype}; expected numbers: encode the others first")
    if 0 in X.shape:
        raise DataError(f"{where} is empty, shape {X.shape}; expected a sample and a feature")
    if not is_dense(X):
        return checked_csr(X, where)
    if X.dtype.kind != "f":
        return X
    start = 0
    for block in blocks(X):
        bad = np.isinf(block) if may_miss else ~np.isfinite(block)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"{where} has {block[row, column]} at row {start + row}, column {column} "
                "(from 0); expected finite numbers: fill in or remove such samples first"
            )
        start += len(block)
    return X
