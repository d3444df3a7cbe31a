"""A network before it has connections, for allocations that also say where those are. Light."""

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
    """shapes, counts  (K, D) of each layer, and the connections it is to have
    seed         of the trial           initializer  of the model
    examples     makes inputs (D, N) and targets of up to so many training samples, plain float32
    network_of   makes the model's network of these layers, which need `shape`, `forward` and
                 `backward` for `compute_gradients`
    """

    shapes: Sequence[Shape]
    counts: Sequence[int]
    seed: int
    initializer: Initializer
    examples: Callable[[int], tuple[Matrix, Any]]
    network_of: Callable[[Sequence[Any]], Network]

    def rng(self, index: int) -> np.random.Generator:
        """For the positions of a layer's connections."""
        return generator(self.seed, "topology", index)


@runtime_checkable
class Places(Protocol):
    """An allocation, or a topology, that says where the first connections are. Optional.

    With None where the positions are drawn at random, as the default.
    """

    def patterns(self, network: InitialNetwork) -> Iterable[CsrPattern | CsrMatrix] | None:
        """The pattern of each layer, in order, or its weights where they are part of the choice.

        An allocation whose layers compete may give other numbers of connections than
        `network.counts`, but as many in all.
        """
