"""Sizes that parameter classes declare, so that a trial's work and least memory are known early.

Every protocol is optional: a trial with a component that declares nothing has no estimate. Free
of heavy imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Shape = tuple[int, int]


@dataclass(frozen=True)
class DataSize:
    """targets   classes of the labels, or numbers of a sample's target
    train, test, validation  samples
    stored    values of the training samples where they are kept as csr; None: all of them are
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
        """Entries of W that a backend of this kind stores and visits."""
        return self.nnz if truly_sparse else self.shape[0] * self.shape[1]


SMALL = 2**15
"""Connections, positions, rows or columns below which a layer is drawn and changed by numpy, and
not by compiled loops."""

HEADROOM = 4
"""How many times as many positions as a layer has connections a topology update may look at."""


def all_small(layers: Iterable[LayerSize]) -> bool:
    """Whether no layer will need the compiled loops, as far as can be known beforehand."""
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
        """Outputs of the network for data of this size."""


@runtime_checkable
class SizedOptimizer(Protocol):
    @property
    def slots(self) -> tuple[str, ...]:
        """State arrays by name, each as long as the weights."""


@runtime_checkable
class SizedBackend(Protocol):
    @property
    def truly_sparse(self) -> bool: ...


@runtime_checkable
class SizedForCsr(Protocol):
    """A backend whose layers say whether they take csr inputs as they are."""

    @property
    def takes_csr(self) -> bool: ...


@runtime_checkable
class SizedTopology(Protocol):
    """connections  nnz of each layer at the start, as `protocols.Topology`
    updates      number of topology updates in an epoch, counted from 1
    """

    def connections(self, shapes: Sequence[Shape]) -> list[int]: ...

    def updates(self, epoch: int, epochs: int, steps: int) -> int: ...
