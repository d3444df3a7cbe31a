"""The protocols of topology methods and of their parts; `sparsebench.testing` has their laws.

A method is a sentence of parts: an allocation, a drop criterion, a growth, an update schedule, a
redistribution and a density schedule. A part is a frozen dataclass of its hyperparameters; what
it remembers between updates lies in the `State` that the view hands it.

Letters: W is (K, D) with nnz connections, N samples in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from sparsebench.core.sizes import Shape

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask, Matrix, Vector
    from sparsebench.core.csr_batch import Batch
    from sparsebench.core.methods.step import TrainingStep
    from sparsebench.core.methods.view import LayerView, NetworkView
    from sparsebench.core.sparse.csr import Change, CsrMatrix, Ints

Signal = Literal["batch", "momentum", "validation"]
"""The signals that a part needs besides the weights.

batch     the inputs X (D, N) and the deltas DZ (K, N) of each layer for the mini-batch that comes
          next, at the current weights; from them the gradient on the pattern and elsewhere
momentum  the optimizer's smoothed gradient of each connection
validation  loss and score on the samples that are held out of training
"""


class Allocation(Protocol):
    """Decides how many connections each layer starts with."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        """nnz of each layer, from 1 to K D. At most one of density and epsilon is a number.

        Raises ValueError where the allocation cannot use what it gets.
        """


class Drop(Protocol):
    """Scores connections; the weakest are dropped.

    signals  what `scores` looks at beside the weights
    by_sign  positive and negative weights are ranked apart, as SET does
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    @property
    def by_sign(self) -> bool: ...

    def scores(self, layer: LayerView) -> Vector:
        """(nnz,) float32; the lowest are dropped. A NaN is dropped last."""


@runtime_checkable
class Selects(Protocol):
    """A drop criterion that decides itself how many connections are weak. Optional."""

    def strongest(self, scores: Vector, fraction: float) -> Mask:
        """(nnz,) True for what stays; at most `fraction` of the connections is dropped.

        scores  of a layer, or of all layers one after the other
        """


@dataclass(frozen=True)
class Candidates:
    """Where connections may grow, in rising order of (row, column).

    rows, columns  (count,) free positions
    scores         (count,) the highest are wanted; None: all are alike, and exactly as many as
                   were requested
    """

    rows: Ints
    columns: Ints
    scores: Vector | None = None

    def best(self, count: int) -> Candidates:
        """The candidates with the `count` highest scores; of equal ones the earlier."""
        from sparsebench.core.sparse.positions import best

        return (
            self
            if self.scores is None
            else Candidates(*best(self.rows, self.columns, self.scores, count))
        )


class Grow(Protocol):
    """Chooses where new connections grow.

    signals   what `candidates` looks at
    ranks     whether candidates have scores, so that layers can compete for growth
    scans     it computes something for every one of the K D positions, in tiles
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    @property
    def ranks(self) -> bool: ...

    @property
    def scans(self) -> bool: ...

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        """At most `count` free positions, the best ones.

        keep  (nnz,) of the layer's connections; a dropped one's position is free
        """


@runtime_checkable
class EveryStep(Protocol):
    """A growth that also looks at every training step. Optional.

    Training then goes layer by layer, on plain float32 arrays.
    """

    def after_backward(self, layer: LayerView, X: Batch, DZ: Matrix) -> None:
        """Called in each step, before the update.  X (D, N), DZ (K, N): read only."""


@runtime_checkable
class SetsValues(Protocol):
    """An initializer that, for grown connections, looks at where they are. Optional."""

    def values_at(self, layer: LayerView, keep: Mask, rows: Ints, columns: Ints) -> Vector:
        """Values of the connections grown at these positions.

        keep  (nnz,) of the layer's connections
        """


class UpdateSchedule(Protocol):
    """Decides when the topology is updated, and what share of connections is dropped."""

    def due(self, step: TrainingStep) -> bool: ...

    def fraction(self, step: TrainingStep) -> float:
        """The share of a layer's connections that is dropped, in [0, 1)."""

    def last(self, steps: int, steps_per_epoch: int) -> int:
        """The step of the last update; 0 if there is none."""


class Redistribution(Protocol):
    """Shares the number of dropped connections out among the layers.

    signals  what `quotas` looks at
    shares   own: each layer grows what it dropped; quotas: as `quotas` says; ranked: drop and
             growth choose over all layers at once, by score
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    @property
    def shares(self) -> Literal["own", "quotas", "ranked"]: ...

    def quotas(self, layers: Sequence[LayerView], dropped: Sequence[int]) -> list[int]:
        """Connections to grow in each layer; their sum is that of `dropped`."""


class DensitySchedule(Protocol):
    """Decides how many connections the network has over time.

    start     density at the start; None: the final one
    globally  what leaves for good is chosen over all layers at once
    """

    @property
    def start(self) -> float | None: ...

    @property
    def globally(self) -> bool: ...

    def share(self, step: TrainingStep, last: int) -> float:
        """The share that remains of the change from the starting (1) to the final density (0).

        last  step of the last update, at which nothing may be left
        """


@runtime_checkable
class AdaptiveDensity(Protocol):
    """A density schedule that decides at each update from what training shows. Optional.

    signals  what `targets` looks at
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    def targets(self, network: NetworkView, ends: Sequence[int], fraction: float) -> list[int]:
        """Connections that each layer is to have after this update, from 1 to K D.

        ends      of each layer, by the method's density or epsilon
        fraction  of a layer's connections, that this update drops
        """


@dataclass(frozen=True)
class LayerUpdate:
    """The update of one layer.

    change      None: nothing
    pruned      of the connections that `change` drops, how many are for good
    state_kept  factor of the optimizer's state of the connections that stay: 1 keeps it
    """

    change: Change | None = None
    pruned: int = 0
    state_kept: float = 1.0


@dataclass(frozen=True)
class Needs:
    """The signals that a method needs besides the weights.

    signals     collected before an update
    every_step  its growth looks at every training step
    scans       an update computes something for each of the K D positions of a layer, in tiles:
                time of that order, memory O(nnz)
    """

    signals: frozenset[Signal] = field(default_factory=frozenset)
    every_step: bool = False
    scans: bool = False


@runtime_checkable
class Topology(Protocol):
    """A method: how many connections each layer starts with, and how they change.

    replaces_step  at an update the mini-batch is looked at and not trained on
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def replaces_step(self) -> bool: ...

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        """nnz of each layer at the start."""

    def due(self, step: TrainingStep) -> bool: ...

    def layer_updates(self, network: NetworkView) -> Sequence[LayerUpdate]:
        """The change of each layer. A grown position may not be closed."""


@runtime_checkable
class RefusesCompaction(Protocol):
    """A topology method that may need neurons that are dead. Optional."""

    def why_not_compact(self) -> str | None:
        """Why dead neurons cannot be taken out in training, as words behind the method's name;
        None: they can."""


class Pruning(Protocol):
    """Removes hidden neurons for good, before the topology update of the same step."""

    @property
    def outgoing(self) -> bool: ...

    @property
    def regrow(self) -> bool: ...

    def due(self, step: TrainingStep) -> bool: ...

    def remove(self, W: CsrMatrix, alive: Mask, started: int) -> Mask:
        """(K,) mask of the neurons of this hidden layer to remove now.

        started  neurons of the layer when training began: dead ones may have been taken out since
        """
