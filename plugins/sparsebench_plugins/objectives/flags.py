"""Several labels per sample, each there or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsebench.core.arrays import Array, Matrix


@dataclass(frozen=True, eq=False)
class Flags:
    """A label is predicted where its output Z is above 0: its sigmoid above a half."""

    outputs: int

    def encode(self, y: Array, where: str) -> Array:
        return y.astype(np.float32)

    def predict(self, Z: Matrix) -> Array:
        predicted: Array = Z.T > 0
        return predicted

    def score(self) -> Labelling:
        return Labelling()

    def arrays(self) -> dict[str, Array]:
        return {}


class Labelling:
    """f1     2 TP / (2 TP + FP + FN) over all samples and labels; 1 where nothing is to be found
    flags  the share of all labels that are predicted right
    """

    def __init__(self) -> None:
        self._both = self._predicted = self._present = self._right = self._all = 0

    def add(self, Z: Matrix, T: Matrix) -> None:
        predicted, present = Z > 0, T > 0.5
        self._both += int(np.count_nonzero(predicted & present))
        self._predicted += int(np.count_nonzero(predicted))
        self._present += int(np.count_nonzero(present))
        self._right += int(np.count_nonzero(predicted == present))
        self._all += T.size

    def values(self) -> dict[str, float]:
        either = self._predicted + self._present
        return {
            "f1": 2 * self._both / either if either else 1.0,
            "flags": self._right / self._all,
        }
