"""Optimizers: update rules on numpy arrays, in place. Tests compare fused kernels with these.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from sparsebench.registry import OfKind

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array

Momentum = Annotated[float, Interval(ge=0, lt=1)]
Kind = Literal["weight", "bias"]


@dataclass(frozen=True)
class Descent:
    """The parameters that all optimizers here share.

    learning_rate  step size, before the schedule's factor
    weight_decay   strength of the weight decay
    schedule       factor of the learning rate over the steps
    decay  coupled: weight_decay w is added to the gradient of weights, not of biases (L2);
           decoupled: w -= rate weight_decay w, weights only (AdamW);
           decoupled-unscaled: w -= weight_decay w, biases too, as the released codes of SET do
    """

    learning_rate: Annotated[float, Interval(gt=0)] = 0.01
    weight_decay: Annotated[float, Interval(ge=0)] = 0.0
    decay: Literal["coupled", "decoupled", "decoupled-unscaled"] = "coupled"
    schedule: Annotated[Any, OfKind("schedule")] = "constant"

    def coupled(self, kind: Kind) -> float:
        """The factor of w that is added to the gradient."""
        return self.weight_decay if self.decay == "coupled" and kind == "weight" else 0.0

    def shrinkage(self, rate: float, kind: Kind) -> float:
        """The factor with which w is multiplied before the step; 1: no decay."""
        if self.decay == "decoupled-unscaled":
            return 1 - self.weight_decay
        return 1 - rate * self.weight_decay if self.decay == "decoupled" and kind == "weight" else 1

    def _decayed(self, w: Array, g: Array, rate: float, kind: Kind) -> Array:
        """The gradient with coupled decay added. Decoupled decay is applied to w in place."""
        f = w.dtype.type
        coupled, shrinkage = self.coupled(kind), self.shrinkage(rate, kind)
        if coupled:
            g = g + f(coupled) * w
        if shrinkage != 1:
            w *= f(shrinkage)
        return g


@dataclass(frozen=True)
class SGD(Descent):
    """v = momentum v - rate g;  w += v, or with Nesterov w += momentum v - rate g.

    momentum  share of the last step's velocity that is kept
    nesterov  look ahead along the velocity

    Momentum has the form of the released SET codes.
    """

    momentum: Momentum = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def smoothed_gradient(self, state: Mapping[str, Array]) -> Array:
        """The velocity. Compared with the gradient, it has the opposite sign and is multiplied by
        the learning rate."""
        return state["velocity"]

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        """As `Optimizer.update`; g is not changed."""
        f = w.dtype.type
        step = self._decayed(w, g, rate, kind) * f(-rate)
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


@dataclass(frozen=True)
class Adam(Descent):
    """Adam: Kingma and Ba (2015), arXiv 1412.6980, algorithm 1; with decay = "decoupled" AdamW.

    beta1  decay rate of the mean gradient
    beta2  decay rate of the mean squared gradient
    tiny   added to the denominator, the paper's epsilon
    """

    learning_rate: Annotated[float, Interval(gt=0)] = 0.001
    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    tiny: Annotated[float, Interval(gt=0)] = 1e-8

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")

    def smoothed_gradient(self, state: Mapping[str, Array]) -> Array:
        """The mean gradient divided by the root of the mean squared gradient."""
        import numpy as np

        smoothed: Array = state["mean"] / (np.sqrt(state["square"]) + np.float32(1e-8))
        return smoothed

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        """As `Optimizer.update`; g is not changed."""
        import numpy as np

        f = w.dtype.type
        mean, square = state
        g = self._decayed(w, g, rate, kind)
        mean *= f(self.beta1)
        mean += f(1 - self.beta1) * g
        square *= f(self.beta2)
        square += f(1 - self.beta2) * g * g
        root = np.sqrt(square * f(1 / (1 - self.beta2**t)))
        root += f(self.tiny)
        w -= f(rate / (1 - self.beta1**t)) * mean / root

    def repair(self, state: Sequence[Array]) -> None:
        """Raise mean squares that are too small for their means. This happens if several processes
        write them without locks.

        Both are sums over the same gradients, so by the Cauchy-Schwarz inequality
        mean² <= square beta2 (1 - beta1)² / ((1 - beta2) (beta2 - beta1²)) if beta2 > beta1².
        """
        import numpy as np

        mean, square = state
        if self.beta2 > self.beta1**2:
            spread = (1 - self.beta2) * (self.beta2 - self.beta1**2)
            least = spread / (self.beta2 * (1 - self.beta1) ** 2)
            np.maximum(square, mean.dtype.type(least) * mean * mean, out=square)


@dataclass(frozen=True)
class AdamByAge(Adam):
    """Adam whose bias correction counts the steps of each connection since it was grown.

    With one count for all, the moments of a connection grown late would be corrected as if they had
    been accumulated from the start: with the default betas its first step would be some three times
    as long as that of an old one. SMET, arXiv 2606.00888, the cold start of regrown weights.
    Deviation: without the paper's warm-up of the learning rate. Takes 4 bytes per connection more
    than Adam.
    """

    slots: ClassVar[tuple[str, ...]] = ("mean", "square", "age")

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        """As `Optimizer.update`; g is not changed."""
        import numpy as np

        f = w.dtype.type
        mean, square, age = state
        g = self._decayed(w, g, rate, kind)
        age += f(1)
        mean *= f(self.beta1)
        mean += f(1 - self.beta1) * g
        square *= f(self.beta2)
        square += f(1 - self.beta2) * g * g
        root = np.sqrt(square / (1 - f(self.beta2) ** age))
        root += f(self.tiny)
        w -= f(rate) / (1 - f(self.beta1) ** age) * mean / root

    def repair(self, state: Sequence[Array]) -> None:
        """As in Adam; ages are not changed."""
        super().repair(state[:2])


@dataclass(frozen=True)
class PowerProp(SGD):
    """SGD on theta, where w = theta |theta|^(power - 1), so that large weights learn fast and small
    ones stay small. Weight decay applies to theta. Biases are trained by plain SGD.

    power  exponent of |theta|; 1: plain SGD

    Schwarz et al. (2021), arXiv 2110.00296, Powerpropagation. A weight of 0 stays 0, so grown
    connections need another initial value.
    """

    power: Annotated[float, Interval(ge=1)] = 2.0

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        """As `Optimizer.update`; g is not changed."""
        import numpy as np

        if kind != "weight":
            super().update(w, g, state, rate, t, kind)
            return
        f, size = w.dtype.type, np.abs(w)
        theta = np.sign(w) * size ** f(1 / self.power)
        slope = f(self.power) * size ** f(1 - 1 / self.power)
        super().update(theta, g * slope, state, rate, t, kind)
        w[...] = theta * np.abs(theta) ** f(self.power - 1)


@dataclass(frozen=True)
class LinBreg(Descent):
    """Linearised Bregman steps: v -= rate g and w = soft(v), with the soft threshold at `strength`.
    Weights are 0 until their gradients have accumulated, and may become 0 again.

    strength  lambda of the regulariser lambda |w|
    momentum  momentum of the step

    Bungert et al. (2022), arXiv 2105.04319, with delta 1; v = w + strength sign(w) at the start.
    Only connections have a v, so start with a pattern several times as dense as the nonzero weights
    that you want. Biases are trained without the threshold.
    """

    strength: Annotated[float, Interval(ge=0)] = 0.001
    momentum: Momentum = 0.0

    @property
    def slots(self) -> tuple[str, ...]:
        return ("dual", "velocity") if self.momentum else ("dual",)

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        """As `Optimizer.update`; g is not changed."""
        f = w.dtype.type
        step = f(rate) * self._decayed(w, g, rate, kind)
        if self.momentum:
            velocity = state[1]
            velocity *= f(self.momentum)
            velocity += f(1 - self.momentum) * step
            step = velocity
        self._move(w, state[0], step, kind)

    def _move(self, w: Array, dual: Array, step: Array, kind: Kind) -> None:
        import numpy as np

        strength = w.dtype.type(self.strength if kind == "weight" else 0.0)
        fresh = (dual == 0) & (w != 0)  # at the start, and where a connection was just grown
        dual[fresh] = w[fresh] + strength * np.sign(w[fresh])
        dual -= step
        w[...] = np.sign(dual) * np.maximum(np.abs(dual) - strength, 0)


@dataclass(frozen=True)
class AdaBreg(LinBreg):
    """Linearised Bregman steps with the step lengths of Adam. Bungert et al. (2022), arXiv
    2105.04319.

    beta2  decay rate of the mean squared gradient
    tiny   added to the denominator
    """

    learning_rate: Annotated[float, Interval(gt=0)] = 0.001
    momentum: Momentum = 0.9
    beta2: Momentum = 0.999
    tiny: Annotated[float, Interval(gt=0)] = 1e-8

    @property
    def slots(self) -> tuple[str, ...]:
        return ("dual", "mean", "square")

    def update(
        self, w: Array, g: Array, state: Sequence[Array], rate: float, t: int, kind: Kind
    ) -> None:
        import numpy as np

        f = w.dtype.type
        dual, mean, square = state
        g = self._decayed(w, g, rate, kind)
        mean *= f(self.momentum)
        mean += f(1 - self.momentum) * g
        square *= f(self.beta2)
        square += f(1 - self.beta2) * g * g
        root = np.sqrt(square * f(1 / (1 - self.beta2**t))) + f(self.tiny)
        self._move(w, dual, f(rate / (1 - self.momentum**t)) * mean / root, kind)
