"""The objective `reconstruction`: the targets are the inputs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Rows
from sparsebench.core.data.samples import Inputs, TargetData, TargetKind
from sparsebench.core.metric import Metric
from sparsebench.core.protocols import Corruption, Loss
from sparsebench.seeds import generator
from sparsebench_plugins.objectives.params import ReconstructionParams
from sparsebench_plugins.objectives.regression import loss_of_vectors
from sparsebench_plugins.objectives.scores import Errors


class NormalNoise:
    """x + deviation * z, where z is normal noise that depends on seed, sample and feature, and if
    `fresh` also on the epoch.

    Philox is a counter-based generator (Salmon et al. 2011). Each sample has its own counters, so
    its noise can be computed at any time and in any order.
    """

    def __init__(self, deviation: float, seed: int, fresh: bool) -> None:
        self._deviation = np.float32(deviation)
        self._fresh = fresh
        key = generator(seed, "noise").integers(2**64, size=2, dtype=np.uint64)
        self._bits: Any = np.random.Philox(key=key)
        self._draw = np.random.Generator(self._bits)
        self._state = self._bits.state

    def corrupted(self, X: Matrix, rows: Rows, epoch: int) -> Matrix:
        noise = np.empty((rows.size, X.shape[0]), dtype=np.float32)
        counter = self._state["state"]["counter"]
        for line, row in zip(noise, rows):
            counter[:] = 0, 0, row, epoch if self._fresh else 0
            self._bits.state = self._state
            self._draw.standard_normal(dtype=np.float32, out=line)
        noise *= self._deviation
        return np.add(X, noise.T, out=np.empty_like(X))


class Reconstruction(ReconstructionParams):
    """The targets are the scaled inputs without noise, even if training adds noise to the inputs.
    The data's own targets are not used. Scores are computed on inputs without noise, in scaled
    units."""

    def loss_with(self, of_model: Loss | None) -> Loss:
        return loss_of_vectors(self.loss, "reconstruction")

    def check(self, y: Array, kind: TargetKind | None, where: str) -> None:
        """Accept any targets, because they are not used."""

    def fit(self, data: TargetData) -> InputsAsTargets:
        return InputsAsTargets(self.scores, data.inputs)

    def restored(
        self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs
    ) -> InputsAsTargets:
        return InputsAsTargets(self.scores, inputs)

    def corruption(self, seed: int) -> Corruption | None:
        return NormalNoise(self.noise, seed, self.fresh) if self.noise else None


@dataclass(frozen=True, eq=False)
class InputsAsTargets:
    scores: Sequence[Metric]
    inputs: Inputs

    @property
    def outputs(self) -> int:
        return self.inputs.features

    def encode(self, y: Array, where: str) -> None:
        """None, because the inputs are the targets."""

    def predict(self, Z: Matrix) -> Array:
        """(samples, features) in the data's own units."""
        return self.inputs.unscaled(Z).T

    def score(self) -> Errors:
        return Errors(np.ones(self.outputs), self.scores)

    def arrays(self) -> dict[str, Array]:
        return {}
