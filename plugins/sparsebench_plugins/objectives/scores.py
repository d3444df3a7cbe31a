"""Scores of outputs Z (K, N) against targets T, accumulated batch by batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sparsebench.core.arrays import Array, Labels, Matrix
from sparsebench.core.metric import Metric

BLOCK = 1 << 14
"""The most values that are in memory as float64 at once."""


class Accuracy:
    """The share of samples whose largest output is that of their label."""

    def __init__(self) -> None:
        self._right = self._all = 0

    def add(self, Z: Matrix, T: Labels) -> None:
        self._right += int(np.count_nonzero(Z.argmax(axis=0) == T))
        self._all += T.size

    def values(self) -> dict[str, float]:
        return {"accuracy": self._right / self._all}


class Labelling:
    """Scores of labels that are 0 or 1.

    f1     2 TP / (2 TP + FP + FN) over all samples and labels; 1 if no label is or is predicted as
           1
    flags  the share of all labels that are predicted correctly
    """

    def __init__(self) -> None:
        self._both = self._either = self._right = self._all = 0

    def add(self, Z: Matrix, T: Matrix) -> None:
        predicted, present = Z > 0, T > 0.5
        self._both += int(np.count_nonzero(predicted & present))
        self._either += int(np.count_nonzero(predicted)) + int(np.count_nonzero(present))
        self._right += int(np.count_nonzero(predicted == present))
        self._all += T.size

    def values(self) -> dict[str, float]:
        return {
            "f1": 2 * self._both / self._either if self._either else 1.0,
            "flags": self._right / self._all,
        }


class Errors:
    """Errors of the outputs, computed in float64. The differences Z - T are multiplied by `spread`.

    mse, rmse, mae  means over samples and outputs
    r2              1 - squared errors / squared distances of the targets from their mean, averaged
                    over outputs whose targets differ; NaN if there are none
    """

    def __init__(self, spread: Array, scores: Sequence[Metric] = ()) -> None:
        """spread  (K,) factor of each output's errors
        scores  the scores that `values` returns; empty: all
        """
        self._spread = spread.astype(np.float64)
        self._scores = [score.name for score in scores]
        self._count = 0
        sums = np.zeros((5, spread.size))
        self._squares, self._absolute, self._first, self._total, self._total_squares = sums

    def add(self, Z: Matrix, T: Matrix) -> None:
        if not self._count:
            self._first += T[:, 0]
        count = max(1, BLOCK // len(T))
        for start in range(0, T.shape[1], count):
            part = slice(start, start + count)
            apart = Z[:, part].astype(np.float64) - T[:, part]
            self._squares += np.einsum("kn,kn->k", apart, apart)
            self._absolute += np.abs(apart).sum(axis=1)
            # a sum of squares far from 0 would lose its digits
            moved = T[:, part] - self._first[:, None]
            self._total += moved.sum(axis=1)
            self._total_squares += np.einsum("kn,kn->k", moved, moved)
        self._count += T.shape[1]

    def values(self) -> dict[str, float]:
        n = self._count
        mse = float((self._squares * self._spread**2).mean() / n)
        scatter = self._total_squares - self._total**2 / n
        differ = scatter > 1e-12 * self._total_squares
        r2 = 1 - self._squares[differ] / scatter[differ]
        found = {
            "mse": mse,
            "rmse": math.sqrt(mse),
            "mae": float((self._absolute * self._spread).mean() / n),
            "r2": float(r2.mean()) if r2.size else math.nan,
        }
        return {name: found[name] for name in self._scores or found}
