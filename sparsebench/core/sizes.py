"""How large a trial's parts are: what parameter classes declare, by plain arithmetic.

Everything here is optional. A backend, model, topology or data set whose parameter class
declares nothing gets no prediction. Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Shape = tuple[int, int]
Bytes = dict[str, int]
"""Bytes by purpose, with the keys of `protocols.Layer.stored_bytes`."""

FLOAT = 4
"""Bytes of a float32."""


def index_size(nnz: int) -> int:
    """Bytes of an index: `sparse.csr.index_dtype`."""
    return 4 if nnz < 2**31 else 8


@dataclass(frozen=True)
class DataSize:
    """targets   classes of the labels, or numbers of a sample's target
    train, test, validation  samples
    itemsize  bytes of a feature as it is held; 0 if samples are generated as they are read
    """

    features: int
    targets: int
    train: int
    test: int
    itemsize: int = FLOAT
    validation: int = 0

    def reading(self, N: int) -> int:
        """Bytes that are taken while a batch of N is read, the batch itself included."""
        rows = N if self.itemsize else min(N, 16)
        return self.features * (FLOAT * N + (self.itemsize or FLOAT) * rows)


@dataclass(frozen=True)
class LayerSize:
    """One layer of a network. `first`: no gradient goes further down."""

    shape: Shape
    nnz: int
    first: bool
    last: bool

    @property
    def index(self) -> int:
        return index_size(self.nnz)

    @property
    def pattern(self) -> int:
        """Bytes of indptr and indices."""
        return self.index * (self.shape[0] + 1 + self.nnz)

    def bias(self, slots: int) -> int:
        """Bytes of the bias, its gradient and its state."""
        return FLOAT * self.shape[0] * (2 + slots)


@dataclass(frozen=True)
class UpdateRule:
    """What an optimizer's parameters declare.

    slots      its state arrays
    kernel     what kernels know the rule by; empty: they do not
    temporary  float32 arrays as long as the weights, at most, during an update in numpy
    """

    slots: int
    kernel: str = ""
    temporary: int = 1


@dataclass(frozen=True)
class UnitSize:
    """What an activation keeps for a layer of K neurons.

    linear        it is linear on both sides of zero, so a backend may apply it itself
    per_neuron    bytes a neuron, whatever the batch
    per_output    bytes a neuron and sample of the last training batch
    temporary     bytes a neuron and sample, at most, while it is applied
    """

    linear: bool
    per_neuron: int = 0
    per_output: int = 0
    temporary: int = 0


@dataclass(frozen=True)
class NetworkSize:
    """Layers and what passes through them.

    batches  sizes of the training batches of an epoch: a full one, and what is left
    tested   the largest batch of an evaluation
    fused    the backend may apply the activations itself
    """

    layers: tuple[LayerSize, ...]
    batches: tuple[int, ...]
    tested: int
    rule: UpdateRule
    fused: bool

    @property
    def widest_batch(self) -> int:
        return max(self.batches)


@dataclass(frozen=True)
class Transient:
    """Bytes of one layer beside what it stores, each the most at any moment.

    built     what it holds when it has been made, before the first step
    building  while it is made, the weights it is given included
    stepping  above what it stores, in a training step
    change    above what it stores, in a change of topology, the change itself left out
    """

    built: int
    building: int
    stepping: int
    change: int


@runtime_checkable
class SizedActivation(Protocol):
    def kept(self, slots: int) -> UnitSize: ...


@runtime_checkable
class SizedDataset(Protocol):
    def size(self) -> DataSize | None: ...


@runtime_checkable
class SizedTopology(Protocol):
    """connections  nnz of each layer at the start, as `protocols.Topology`
    moved        of each layer, how many an update drops and grows at most
    updates      how many updates there are in an epoch, counted from 1
    changes_density  whether the network ends with another number of connections
    """

    @property
    def changes_density(self) -> bool: ...

    def connections(self, shapes: Sequence[Shape]) -> list[int]: ...

    def moved(self, connections: Sequence[int]) -> list[int]: ...

    def updates(self, epoch: int, epochs: int, steps: int) -> int: ...


@runtime_checkable
class SizedOptimizer(Protocol):
    def rule(self) -> UpdateRule: ...


@runtime_checkable
class SizedBackend(Protocol):
    """stored     of each layer at the end of training, by purpose
    transient  of each layer
    own_units  whether it applies activations that are linear on both sides of zero itself;
               then `bits` are what such a unit of K neurons keeps for a batch of N
    between    bytes of an activation between two layers
    work       connections a step looks at: those of the layer, or all K D
    """

    def stored(self, network: NetworkSize) -> list[Bytes]: ...

    def transient(self, network: NetworkSize) -> list[Transient]: ...

    def own_units(self) -> bool: ...

    def bits(self, K: int, N: int) -> int: ...

    def between(self) -> int: ...

    def work(self, layer: LayerSize) -> int: ...


@runtime_checkable
class SizedObjective(Protocol):
    def outputs(self, features: int, targets: int) -> int:
        """Of the network, for data of this size."""


@runtime_checkable
class SizedModel(Protocol):
    """shapes       as `protocols.Model`
    activations  bytes of what passes through, stored at the end of training
    working      bytes above that, at most, in a step
    """

    def shapes(self, features: int, outputs: int) -> list[Shape]: ...

    def linear(self) -> bool | None:
        """Whether the activations are linear on both sides of zero; None if unknown."""

    def activations(self, network: NetworkSize, backend: SizedBackend) -> int: ...

    def working(self, network: NetworkSize, backend: SizedBackend) -> int: ...
