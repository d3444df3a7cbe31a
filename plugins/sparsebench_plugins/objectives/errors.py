"""Errors of outputs against numeric targets, accumulated batch by batch in float64."""

from __future__ import annotations

import math

import numpy as np

from sparsebench.core.arrays import Array, Matrix

BLOCK = 1 << 14
"""Values that are held in float64 at once."""


class Errors:
    """Errors of each output, in units of `spread` times that of Z and T.

    mse, rmse, mae  means over samples and outputs
    r2              1 - squared errors / squared distances from the mean of these targets: the mean
                    over the outputs whose targets differ; NaN where there is none
    """

    def __init__(self, spread: Array) -> None:
        """spread  (K,)"""
        self._spread = spread.astype(np.float64)
        self._count = 0
        sums = np.zeros((5, spread.size))
        self._squares, self._absolute, self._first, self._total, self._total_squares = sums

    def add(self, Z: Matrix, T: Matrix) -> None:
        if not self._count:
            self._first += T[:, 0]
        count = max(1, BLOCK // len(T))
        for start in range(0, T.shape[1], count):
            self._add(Z[:, start : start + count], T[:, start : start + count])
        self._count += T.shape[1]

    def _add(self, Z: Matrix, T: Matrix) -> None:
        apart = Z.astype(np.float64) - T
        self._squares += np.einsum("kn,kn->k", apart, apart)
        self._absolute += np.abs(apart).sum(axis=1)
        moved = T - self._first[:, None]  # a sum of squares far from 0 would lose its digits
        self._total += moved.sum(axis=1)
        self._total_squares += np.einsum("kn,kn->k", moved, moved)

    def values(self) -> dict[str, float]:
        n = self._count
        mse = float((self._squares * self._spread**2).mean() / n)
        scatter = self._total_squares - self._total**2 / n
        differ = scatter > 1e-12 * self._total_squares
        r2 = 1 - self._squares[differ] / scatter[differ]
        return {
            "mse": mse,
            "rmse": math.sqrt(mse),
            "mae": float((self._absolute * self._spread).mean() / n),
            "r2": float(r2.mean()) if r2.size else math.nan,
        }
