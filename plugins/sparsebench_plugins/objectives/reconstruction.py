"""The inputs themselves as targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparsebench.core.arrays import Array, Matrix
from sparsebench.core.data.targets import Inputs, TargetData, TargetKind
from sparsebench.core.metric import Metric
from sparsebench.core.protocols import Corruption, Loss, Score
from sparsebench_plugins.objectives.errors import Errors
from sparsebench_plugins.objectives.noise import NormalNoise
from sparsebench_plugins.objectives.numbers import Named, loss_of_vectors
from sparsebench_plugins.objectives.params import ReconstructionParams


class Reconstruction(ReconstructionParams):
    """Targets are the scaled inputs, clean even where training sees noise on them; the data's own
    targets are not looked at. Scored on clean inputs, in scaled units."""

    def loss_with(self, of_model: Loss | None) -> Loss:
        return loss_of_vectors(self.loss, "reconstruction")

    def check(self, y: Array, kind: TargetKind | None, where: str) -> None:
        """Anything will do."""

    def fit(self, data: TargetData) -> Clean:
        return Clean(self.scores, data.inputs)

    def restored(self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs) -> Clean:
        return Clean(self.scores, inputs)

    def corruption(self, seed: int) -> Corruption | None:
        return NormalNoise(self.noise, seed, self.fresh) if self.noise else None


@dataclass(frozen=True, eq=False)
class Clean:
    scores: Sequence[Metric]
    inputs: Inputs

    @property
    def outputs(self) -> int:
        return self.inputs.features

    def encode(self, y: Array, where: str) -> None:
        """The inputs themselves."""

    def predict(self, Z: Matrix) -> Array:
        """(samples, features) in the data's own units."""
        return self.inputs.unscaled(Z).T

    def score(self) -> Score:
        return Named(self.scores, Errors(np.ones(self.outputs)))

    def arrays(self) -> dict[str, Array]:
        return {}
