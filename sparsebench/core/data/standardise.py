"""Mean and spread of features, without a second copy of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.errors import DataError

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

BLOCK = 1 << 20
"""Values that a pass over X holds at once."""


def standardisation(X: Array, rows: Rows, source: str = "data") -> tuple[Array, Array]:
    """Mean and 1 / standard deviation of each feature over `rows`, (features, 1) each.

    32-bit integers and 64-bit numbers are later standardised in float64, all else in float32,
    and the two arrays have that dtype. A feature without spread gets scale 0.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = _moments(X, rows)
    if not np.isfinite(std).all():
        column = int(np.flatnonzero(~np.isfinite(std))[0])
        raise DataError(
            f"{source}: feature {column} is too large to be standardised (its variance passes "
            "1e308); expected moderate numbers: rescale it first"
        )
    spread = std > np.finfo(np.float32).tiny
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=spread)
    dtype = np.float64 if np.result_type(X.dtype, np.float32).itemsize > 4 else np.float32
    return mean.astype(dtype)[:, None], scale.astype(dtype)[:, None]


def _moments(X: Array, rows: Rows) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, float64.

    The sums are of x - x_0 with x_0 the first row, so that a constant feature has variance 0
    exactly, and not what rounding leaves.
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


def blocks(X: Array, rows: Rows | None = None) -> Iterator[Array]:
    """X (its `rows`), some rows at a time: no second copy of X comes to exist."""
    count = max(1, BLOCK // X.shape[1])
    for start in range(0, len(X) if rows is None else rows.size, count):
        part = slice(start, start + count)
        yield X[part] if rows is None else X[rows[part]]
