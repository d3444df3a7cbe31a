"""Sample weights: each weight is stored in one record with the target of its sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.protocols import Loss, Objective, WeightedLoss
from sparsebench.errors import Unsupported

TARGET, WEIGHT = "target", "weight"


def with_weights(targets: Array, weights: Vector) -> Array:
    """An array (n,) of records with target and weight, from targets (n,) or (n, K)."""
    kind = np.dtype([(TARGET, targets.dtype, targets.shape[1:]), (WEIGHT, np.float32)])
    records = np.empty(len(targets), dtype=kind)
    records[TARGET], records[WEIGHT] = targets, weights
    return records


@dataclass(frozen=True)
class LossOfRecords:
    """A loss whose targets are the records of `with_weights`. If the targets are plain arrays, all
    samples count equally."""

    loss: WeightedLoss

    @property
    def targets(self) -> Literal["labels", "vectors", "flags"]:
        return self.loss.targets

    def value(self, Z: Matrix, T: Array) -> float:
        return self.loss.value(Z, *_split(T))

    def value_and_gradient(self, Z: Matrix, T: Array) -> tuple[float, Matrix]:
        return self.loss.value_and_gradient(Z, *_split(T))


@dataclass(frozen=True)
class ObjectiveOfRecords:
    """An objective for training with sample weights."""

    objective: Objective

    def loss_with(self, of_model: Loss | None) -> Loss:
        """The loss of the objective, for targets with weights. Raises Unsupported if it accepts no
        weights."""
        loss = self.objective.loss_with(of_model)
        if not isinstance(loss, WeightedLoss):
            raise Unsupported(f"{type(loss).__name__} takes no sample weights")
        return LossOfRecords(loss)


def _split(T: Array) -> tuple[Array, Any]:
    if T.dtype.names is None:
        return T, None
    targets = T[TARGET]
    return (targets if targets.ndim == 1 else np.ascontiguousarray(targets.T)), T[WEIGHT]
