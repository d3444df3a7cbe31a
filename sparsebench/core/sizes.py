"""Sizes that parameter classes declare, from which a trial's work and least memory are estimated
before it starts.

Every protocol is optional: a trial with a component that declares nothing has no estimate. Free
of heavy imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard, runtime_checkable

Shape = tuple[int, int]


@dataclass(frozen=True)
class DataSize:
    """The size of a data set.

    targets   number of classes, or of numbers per target
    train, test, validation  numbers of samples
    stored    number of stored values of the training samples if they are csr; None: not csr
    """

    features: int
    targets: int
    train: int
    test: int
    validation: int = 0
    stored: int | None = None


@dataclass(frozen=True)
class LayerSize:
    """A layer of shape (K, D) with nnz connections."""

    shape: Shape
    nnz: int

    def entries(self, truly_sparse: bool) -> int:
        """Entries of W that a backend stores and visits: nnz if it is truly sparse, else K D."""
        return self.nnz if truly_sparse else self.shape[0] * self.shape[1]


SMALL = 2**15
"""A layer with fewer connections, positions, rows and columns than this is drawn and changed by
numpy, a larger one by compiled loops."""

HEADROOM = 4
"""A topology update may look at this many positions for each connection of a layer."""


def all_small(layers: Iterable[LayerSize]) -> bool:
    """Whether no layer is expected to need the compiled loops."""
    return all(max(HEADROOM * layer.nnz, *layer.shape) < SMALL for layer in layers)


@runtime_checkable
class SizedDataset(Protocol):
    def size(self) -> DataSize | None: ...


@runtime_checkable
class SizedModel(Protocol):
    def shapes(self, features: int, outputs: int) -> list[Shape]: ...


@runtime_checkable
class SizedObjective(Protocol):
    def outputs(self, features: int, targets: int) -> int:
        """Number of outputs of the network for data of this size."""


@runtime_checkable
class SizedOptimizer(Protocol):
    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the state arrays, each of which is as long as the weights."""


@runtime_checkable
class SizedBackend(Protocol):
    @property
    def truly_sparse(self) -> bool: ...


@runtime_checkable
class SizedForCsr(Protocol):
    """A backend that declares whether its layers accept csr inputs."""

    @property
    def takes_csr(self) -> bool: ...


@runtime_checkable
class SizedTopology(Protocol):
    """A topology method that declares its sizes.

    connections  nnz of each layer at the start, as in `protocols.Topology`
    updates      number of topology updates in an epoch; epochs count from 1
    """

    def connections(self, shapes: Sequence[Shape]) -> list[int]: ...

    def updates(self, epoch: int, epochs: int, steps: int) -> int: ...


LONG = 10**9
"""A number of steps per epoch that is larger than any interval between updates."""


def updates_in_time(topology: object) -> TypeGuard[SizedTopology]:
    """Whether the topology is one that changes: a training that is long enough updates it, or it
    has a schedule, whose settings may leave no time for an update."""
    return isinstance(topology, SizedTopology) and (
        topology.updates(1, 2, LONG) > 0 or hasattr(topology, "schedule")
    )
