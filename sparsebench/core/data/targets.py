"""What an objective gets to see of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Rows

TargetKind = Literal["labels", "numbers", "vectors", "flags"]
"""What a data set has for each sample: a class, a number, several numbers, or several 0 or 1."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """How inputs were scaled: (x - mean) * scale, (features, 1) each; None: by the data set."""

    features: int
    mean: Array | None = None
    scale: Array | None = None

    def unscaled(self, X: Matrix) -> Array:
        """(features, N) back in the data's own units. A feature of scale 0 gets its mean."""
        if self.mean is None or self.scale is None:
            return X
        spread = np.divide(1, self.scale, out=np.zeros_like(self.scale), where=self.scale != 0)
        unscaled: Array = X * spread + self.mean
        return unscaled


@dataclass(frozen=True, eq=False)
class TargetData:
    """What an objective is fitted to.

    y        of all training samples as they came, a row each
    rows     of y, those trained on: the rest is held out
    outputs  where the data set says how many: classes of labels, or numbers of a target
    source   what a message starts with
    """

    y: Array
    rows: Rows
    inputs: Inputs
    outputs: int | None = None
    source: str = "data"
