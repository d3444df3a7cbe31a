"""Update rules on numpy arrays, in place. Fused kernels are held to these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench_plugins.optimizers.params import AdamParams, OptimizerParams, SgdParams

Kind = Literal["weight", "bias"]


class SGD(SgdParams):
    """Stochastic gradient descent with momentum, in the form of the released SET codes."""

    def smoothed_gradient(self, state: Mapping[str, Array]) -> Array:
        """The velocity: of the opposite sign, and times the learning rate."""
        return state["velocity"]

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        """w and the velocity change in place; g is left as it is."""
        f = w.dtype.type
        step = _decayed_gradient(self, w, g, kind) * f(-rate)
        _shrink(self, w, rate, kind)
        if not self.momentum:
            w += step
            return
        (v,) = state
        v *= f(self.momentum)
        v += step
        if self.nesterov:
            w += f(self.momentum) * v
            w += step
        else:
            w += v


class Adam(AdamParams):
    """Adam; with decay = "decoupled" it is AdamW."""

    def smoothed_gradient(self, state: Mapping[str, Array]) -> Array:
        """The mean over the root of the mean square."""
        smoothed: Array = state["mean"] / (np.sqrt(state["square"]) + np.float32(1e-8))
        return smoothed

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        """w and the moments change in place; g is left as it is."""
        f = w.dtype.type
        mean, square = state
        g = _decayed_gradient(self, w, g, kind)
        _shrink(self, w, rate, kind)
        mean *= f(self.beta1)
        mean += f(1 - self.beta1) * g
        square *= f(self.beta2)
        square += f(1 - self.beta2) * g * g
        root = np.sqrt(square * f(1 / (1 - self.beta2**t)))
        root += f(self.tiny)
        w -= f(rate / (1 - self.beta1**t)) * mean / root


def _decayed_gradient(rule: OptimizerParams, w: Array, g: Array, kind: Kind) -> Array:
    if rule.weight_decay and rule.decay == "coupled" and kind == "weight":
        decayed: Array = g + w.dtype.type(rule.weight_decay) * w
        return decayed
    return g


def _shrink(rule: OptimizerParams, w: Array, rate: float, kind: Kind) -> None:
    if not rule.weight_decay:
        return
    if rule.decay == "decoupled-unscaled":
        w *= w.dtype.type(1 - rule.weight_decay)
    elif rule.decay == "decoupled" and kind == "weight":
        w *= w.dtype.type(1 - rate * rule.weight_decay)
