"""Computes how inputs are scaled: (x - mean) * scale, without a second copy of the data.

feature  mean 0 and deviation 1 of each feature
data     mean 0 and deviation 1 of all values together, as papers on images do
range    each feature from 0 to 1
none     inputs are not scaled

Means, deviations and ranges are those of the training samples. Csr inputs are not centred, because
their zeros would then have to be stored: they are only divided, by the same deviations or, for
`range`, by the largest magnitude of each feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Rows
from sparsebench.core.trial import SCALINGS
from sparsebench.errors import DataError

BLOCK = 1 << 20
"""The number of values of X that are read at once."""


def scaling_of(X: Any, rows: Rows, scaling: str, source: str = "data") -> tuple[Array, Array]:
    """mean and scale, (features, 1) each, of X (samples, features): an array or scipy's csr.

    32-bit integers and 64-bit numbers are later scaled in float64, all other types in float32; mean
    and scale have that dtype. A constant feature gets scale 0, but `data` and `none` give all
    features the same scale. Raises DataError.
    """
    if scaling not in SCALINGS:
        raise DataError(f"scaling = {scaling!r} is not known; expected {', '.join(SCALINGS)}")
    dense = isinstance(X, np.ndarray)
    with np.errstate(over="ignore", invalid="ignore"):
        if scaling == "none":
            mean, spread = np.zeros(X.shape[1]), np.ones(X.shape[1])
        elif scaling == "range":
            mean, spread = _range(X, rows) if dense else _largest(X, rows)
        else:
            mean, spread = _moments(X, rows) if dense else _sparse_moments(X, rows)
        if scaling == "data":
            mean, spread = _together(mean, spread)
    if not np.isfinite(spread).all():
        column = int(np.flatnonzero(~np.isfinite(spread))[0])
        raise DataError(
            f"{source}: feature {column} is too large to be scaled (its variance passes "
            "1e308); expected moderate numbers: rescale it first"
        )
    if not dense:
        mean = np.zeros_like(mean)
    scale = np.zeros_like(spread)
    np.divide(1.0, spread, out=scale, where=spread > np.finfo(np.float32).tiny)
    dtype = np.float64 if np.result_type(X.dtype, np.float32).itemsize > 4 else np.float32
    return mean.astype(dtype)[:, None], scale.astype(dtype)[:, None]


def _moments(X: Array, rows: Rows) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, float64.

    Sums are taken over x - x_0, with x_0 the first row, so that the variance of a constant feature
    is exactly 0 and no rounding error.
    """
    first = X[rows[0]].astype(np.float64)
    total = np.zeros(X.shape[1])
    for block in blocks(X, rows):
        total += (block - first).sum(axis=0)
    mean = first + total / rows.size
    squares = np.zeros(X.shape[1])
    for block in blocks(X, rows):
        centred = block - mean
        squares += np.einsum("ij,ij->j", centred, centred)
    return mean, np.sqrt(squares / rows.size)


def _together(mean: Array, std: Array) -> tuple[Array, Array]:
    """Mean and deviation of all values together, from those of the features, each of which has the
    same number of values."""
    of_all = mean.mean()
    spread = np.sqrt(np.mean(std**2 + (mean - of_all) ** 2))
    return np.full_like(mean, of_all), np.full_like(std, spread)


def _range(X: Array, rows: Rows) -> tuple[Array, Array]:
    """The smallest value of each feature, and its range: largest minus smallest value."""
    low = np.full(X.shape[1], np.inf)
    high = -low
    for block in blocks(X, rows):
        np.minimum(low, block.min(axis=0), out=low)
        np.maximum(high, block.max(axis=0), out=high)
    return low, high - low


def _sparse_moments(X: Any, rows: Rows) -> tuple[Array, Array]:
    """`_moments` of a csr matrix; time and memory are of the order of the stored values."""
    features = X.shape[1]
    total, squares, stored = (np.zeros(features) for _ in range(3))
    for block in _sparse_blocks(X, rows):
        total += np.bincount(block.indices, block.data, features)
        stored += np.bincount(block.indices, minlength=features)
    mean = total / rows.size
    for block in _sparse_blocks(X, rows):
        apart = block.data - mean[block.indices]
        squares += np.bincount(block.indices, apart * apart, features)
    squares += (rows.size - stored) * mean**2
    std = np.sqrt(squares / rows.size)
    std[std < ROUNDING * np.abs(mean)] = 0.0
    return mean, std


ROUNDING = 1e-12
"""A deviation that is less than this share of the mean is rounding error of a constant feature."""


def _largest(X: Any, rows: Rows) -> tuple[Array, Array]:
    """Zeros as means, and the largest magnitude of each feature of a csr matrix."""
    found = np.zeros(X.shape[1])
    for block in _sparse_blocks(X, rows):
        np.maximum.at(found, block.indices, np.abs(block.data).astype(np.float64))
    return np.zeros_like(found), found


def blocks(X: Array, rows: Rows | None = None) -> Iterator[Array]:
    """Yield X (or its `rows`) some rows at a time, so that X is never copied as a whole."""
    count = max(1, BLOCK // X.shape[1])
    for start in range(0, len(X) if rows is None else rows.size, count):
        part = slice(start, start + count)
        yield X[part] if rows is None else X[rows[part]]


def _sparse_blocks(X: Any, rows: Rows) -> Iterator[Any]:
    """Yield some rows of a csr matrix at a time, so that each block stores about BLOCK values."""
    count = max(1, int(BLOCK * X.shape[0] // max(X.nnz, X.shape[1], 1)))
    for start in range(0, rows.size, count):
        yield X[rows[start : start + count]]
