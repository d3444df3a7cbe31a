"""A network before it has connections, for allocations that also choose their positions.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sparsebench.core.protocols import Initializer, Network
from sparsebench.core.sizes import Shape
from sparsebench.seeds import generator

if TYPE_CHECKING:
    import numpy as np

    from sparsebench.core.arrays import Matrix
    from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern


@dataclass(frozen=True, eq=False)
class InitialNetwork:
    """What an allocation knows when it chooses the positions of the first connections.

    shapes       (K, D) of each layer
    counts       number of connections that each layer is to have
    seed         of the trial
    initializer  of the model
    examples     called with a number of training samples; returns the inputs (D, N) and targets of
                 at most that many, in plain float32
    network_of   builds the model's network from given layers; for `compute_gradients` they need
                 only `shape`, `forward` and `backward`
    """

    shapes: Sequence[Shape]
    counts: Sequence[int]
    seed: int
    initializer: Initializer
    examples: Callable[[int], tuple[Matrix, Any]]
    network_of: Callable[[Sequence[Any]], Network]

    def rng(self, index: int) -> np.random.Generator:
        """The random generator for the positions of a layer's connections."""
        return generator(self.seed, "topology", index)


@runtime_checkable
class ChoosesPositions(Protocol):
    """An allocation or a topology method that chooses where the first connections are. For others,
    positions are drawn at random."""

    def patterns(self, network: InitialNetwork) -> Iterable[CsrPattern | CsrMatrix] | None:
        """The pattern of each layer, in order, or its weights if the method chooses these too.
        None: the positions of all layers are drawn at random.

        An allocation whose layers compete may deviate from `network.counts`, but not from their
        sum.
        """
