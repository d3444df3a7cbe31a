"""Inputs with their prepared targets, on which a trial trains."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Rows
from sparsebench.core.data.samples import Inputs, Samples
from sparsebench.core.protocols import Corruption, Targets


@dataclass(frozen=True, eq=False)
class Examples:
    """A part of the data, read batch by batch.

    targets     int64 labels (n,) or float32 (n, K); None: the inputs themselves
    rows        of `samples`, those that belong to the part; None: all
    corruption  of the inputs, in training
    """

    samples: Samples
    targets: Array | None
    rows: Rows | None = None
    corruption: Corruption | None = None

    @property
    def features(self) -> int:
        return self.samples.features

    def __len__(self) -> int:
        return len(self.samples.targets) if self.rows is None else self.rows.size

    def batch(self, rows: Rows, epoch: int = 0) -> tuple[Matrix, Array]:
        """Inputs (features, N), and targets: labels (N,) or (K, N), in this epoch."""
        chosen = rows if self.rows is None else self.rows[rows]
        X = self.samples.batch(chosen)
        T: Array = X
        if self.targets is not None:
            T = self.targets[rows]
            if T.ndim == 2:
                T = np.ascontiguousarray(T.T)
        if self.corruption is not None:
            X = self.corruption.corrupted(X, chosen, epoch)
        return X, T

    def part(self, rows: Rows) -> Examples:
        """The examples of these rows, in this order."""
        return replace(
            self,
            targets=None if self.targets is None else self.targets[rows],
            rows=rows if self.rows is None else self.rows[rows],
        )


@dataclass(frozen=True, eq=False)
class TrialData:
    """The data of a trial. `fingerprint` is that of the data set as loaded."""

    train: Examples
    test: Examples
    validation: Examples | None
    targets: Targets
    inputs: Inputs
    fingerprint: str

    @property
    def features(self) -> int:
        return self.inputs.features

    @property
    def outputs(self) -> int:
        return self.targets.outputs
