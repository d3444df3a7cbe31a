"""Checks of a data set that is stored as scipy's csr."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.errors import DataError

MOST_FEATURES = 2**31 - 1
"""The most features of csr data, because their numbers are int32."""


def is_dense(X: object) -> bool:
    return isinstance(X, np.ndarray)


def csr_of(indptr: Array, indices: Array, data: Array, shape: Array, where: str) -> Any:
    """The csr matrix of these stored arrays. Raises DataError unless they fit together; the values
    are checked later, by `checked_csr`."""
    from scipy.sparse import csr_matrix

    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        raise DataError(f"{where}.shape is {shape}; expected [samples, features]")
    for name, array in (("indptr", indptr), ("indices", indices)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise DataError(f"{where}.{name} holds {array.dtype}; expected a row of integers")
    if data.ndim != 1 or data.dtype.kind not in "biuf":
        raise DataError(f"{where}.data holds {data.dtype}; expected a row of numbers")
    samples, features = (int(n) for n in shape)
    for name, found, expected in (
        ("indptr", indptr.size, samples + 1),
        ("indices", indices.size, data.size),
    ):
        if found != expected:
            raise DataError(f"{where}.{name} has {found} entries; expected {expected}")
    if features > MOST_FEATURES:
        raise DataError(f"{where} has {features} features; expected at most {MOST_FEATURES}")
    if indptr[0] != 0 or indptr[-1] != data.size or (np.diff(indptr.astype(np.int64)) < 0).any():
        raise DataError(f"{where}.indptr does not rise from 0 to the {data.size} stored values")
    _check_indices(indices, features, where)
    if data.dtype == np.float16:  # which scipy does not take
        data = data.astype(np.float32)
    return csr_matrix((data, indices, indptr), shape=(samples, features))


def checked_csr(X: Any, where: str) -> Any:
    """X (samples, features) with the features of each sample in ascending order. Raises DataError
    unless X is scipy's csr, finite, and stores each position at most once.

    No array of samples x features is allocated.
    """
    from scipy.sparse import issparse

    if not issparse(X) or X.format != "csr":
        found = f"scipy's {X.format}" if issparse(X) else type(X).__name__
        raise DataError(f"{where} is {found}; expected a numpy array or scipy's csr: X.tocsr()")
    if X.dtype.kind == "f" and not np.isfinite(X.data).all():
        at = int(np.flatnonzero(~np.isfinite(X.data))[0])
        row = int(np.searchsorted(X.indptr, at, side="right")) - 1
        raise DataError(
            f"{where} has {X.data[at]} at row {row}, column {X.indices[at]} (from 0); expected "
            "finite numbers: fill in or remove such samples first"
        )
    _check_indices(X.indices, X.shape[1], where)
    if X.has_canonical_format:
        return X
    X = X.sorted_indices()
    same = X.indices[1:] == X.indices[:-1]
    begins = X.indptr[1:-1]
    same[begins[(begins > 0) & (begins < X.nnz)] - 1] = False  # the first value of a sample
    if same.any():
        at = int(np.flatnonzero(same)[0])
        row = int(np.searchsorted(X.indptr, at, side="right")) - 1
        raise DataError(
            f"{where} stores column {X.indices[at]} of row {row} (from 0) twice; expected each "
            "once: X.sum_duplicates() adds them up"
        )
    return X


def _check_indices(indices: Array, features: int, where: str) -> None:
    if indices.size and not (indices.min() >= 0 and indices.max() < features):
        outside = indices.min() if indices.min() < 0 else indices.max()
        raise DataError(f"{where} has a value in column {outside}; expected 0 to {features - 1}")
