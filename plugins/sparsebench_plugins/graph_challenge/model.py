"""The networks of the Graph Challenge. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from sparsebench.core.protocols import Backend, Initializer, Layer, Loss, Optimizer
from sparsebench.core.sizes import Shape

if TYPE_CHECKING:
    import numpy as np

    from sparsebench.core.arrays import Matrix, Vector
    from sparsebench.core.nn.network import LayeredNetwork
    from sparsebench.core.sparse.csr import CsrPattern

WEIGHT = 1 / 16
"""The weight of every connection."""

BIASES = {1024: -0.3, 4096: -0.35, 16384: -0.4, 65536: -0.45}
"""The bias of every neuron, by the number of neurons of a layer."""

CAP = 32.0
"""The largest output of a neuron."""


OFFICIAL = 1024
"""The number of neurons per layer of the network in the official file."""

IMAGES = 1200
"""The number of images in the official file."""


@dataclass(frozen=True)
class EqualLayers:
    """Layers that are all as wide as the inputs, with the activation min(32, max(0, z)).

    layers  number of layers: the challenge has 120, 480 and 1920

    All weights are 1/16. The trainer `graph-challenge` sets the biases of the challenge.
    """

    layers: Annotated[int, Interval(gt=0)] = 120

    @property
    def initializer(self) -> Initializer:
        return OneValue()

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        """The shapes of the layers; `outputs` is not used."""
        return [(features, features)] * self.layers

    def network(
        self,
        layers: Sequence[Layer],
        backend: Backend,
        optimizer: Optimizer,
        seed: int,
        loss: Loss,
    ) -> LayeredNetwork:
        from sparsebench.core.nn.network import LayeredNetwork
        from sparsebench_plugins.activation_units import SmoothUnit

        def units() -> list[SmoothUnit]:
            return [SmoothUnit(capped, None) for _ in layers]

        return LayeredNetwork(layers, units(), loss, optimizer, plain_units=units)


class OneValue:
    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        import numpy as np

        return np.full(count, WEIGHT, dtype=np.float32)


def capped(Z: Matrix) -> tuple[Matrix, Matrix]:
    """min(32, max(0, Z)) and its derivative."""
    import numpy as np

    inside = (Z > 0) & (Z < CAP)
    return np.clip(Z, 0, CAP), inside.astype(Z.dtype)
