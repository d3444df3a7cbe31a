"""The protocols of topology methods and of their parts; `sparsebench.testing` checks them.

A method is made of parts: an allocation, a drop criterion, a growth, an update schedule, a
redistribution and a density schedule. A part is a frozen dataclass of its hyperparameters. It keeps
what it needs between updates in the `State` that the view provides.

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
    from sparsebench.core.methods.training_position import TrainingStep
    from sparsebench.core.methods.view import LayerView, NetworkView
    from sparsebench.core.sparse.csr import Change, CsrMatrix, Ints

Signal = Literal["batch", "momentum", "validation"]
"""The signals that a part needs besides the weights.

batch     each layer's inputs X (D, N) and gradients DZ (K, N) of its pre-activations for the next
          mini-batch at the current weights; the gradient at any position follows from them
momentum  the optimizer's smoothed gradient of each connection
validation  loss and score on the validation samples
"""


class Allocation(Protocol):
    """Decides how many connections each layer starts with."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        """The nnz of each layer, from 1 to K D. At most one of density and epsilon is a number;
        the other is None. Raises ValueError if the allocation needs the one that is None."""


class Drop(Protocol):
    """Scores connections; the weakest are dropped.

    signals  the signals that `scores` uses besides the weights
    by_sign  positive and negative weights are ranked separately, as in SET
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    @property
    def by_sign(self) -> bool: ...

    def scores(self, layer: LayerView) -> Vector:
        """A score (nnz,) float32 for each connection; the lowest are dropped, and NaN last."""


@runtime_checkable
class DecidesDropCount(Protocol):
    """A drop criterion that also decides how many connections are dropped. For other criteria, the
    fraction of the update schedule decides."""

    def strongest(self, scores: Vector, fraction: float) -> Mask:
        """A mask (nnz,) that is True for the kept connections. At most `fraction` is dropped.

        scores  of one layer, or of all layers concatenated
        """


@dataclass(frozen=True)
class Candidates:
    """Positions where connections may grow, in ascending order of (row, column).

    rows, columns  (count,) free positions
    scores         (count,) the highest are preferred; None: there are no scores, and exactly the
                   requested number of positions
    """

    rows: Ints
    columns: Ints
    scores: Vector | None = None

    def best(self, count: int) -> Candidates:
        """The candidates with the `count` highest scores; among equal scores the earlier ones. All
        candidates if there are no scores."""
        from sparsebench.core.sparse.positions import best

        return (
            self
            if self.scores is None
            else Candidates(*best(self.rows, self.columns, self.scores, count))
        )


class Grow(Protocol):
    """Chooses where new connections grow.

    signals   the signals that `candidates` uses
    ranks     whether candidates have scores, so that layers can compete for growth
    scans     whether `candidates` computes something for each of the K D positions, in tiles
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    @property
    def ranks(self) -> bool: ...

    @property
    def scans(self) -> bool: ...

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        """The best free positions, at most `count`.

        keep  (nnz,) False for the layer's dropped connections, whose positions are free
        """


@runtime_checkable
class EveryStep(Protocol):
    """A growth that also observes every training step. Each step is then made layer by layer, on
    plain float32 arrays."""

    def after_backward(self, layer: LayerView, X: Batch, DZ: Matrix) -> None:
        """Called in each step before the weights are updated.  X (D, N), DZ (K, N): read only."""


@runtime_checkable
class SetsValues(Protocol):
    """An initializer that chooses the weight of a grown connection by its position. It is used
    instead of `Initializer.draw` for grown connections."""

    def values_at(self, layer: LayerView, keep: Mask, rows: Ints, columns: Ints) -> Vector:
        """The weights of the connections grown at these positions.

        keep  (nnz,) False for the layer's dropped connections
        """


class UpdateSchedule(Protocol):
    """Decides when the topology is updated, and what share of the connections is dropped."""

    def due(self, step: TrainingStep) -> bool: ...

    def fraction(self, step: TrainingStep) -> float:
        """The share of a layer's connections that is dropped, in [0, 1)."""

    def last(self, steps: int, steps_per_epoch: int) -> int:
        """The step of the last update; 0 if there is none."""


class Redistribution(Protocol):
    """Decides how many connections each layer grows, of all that were dropped.

    signals  the signals that `quotas` uses
    shares   "own": each layer grows as many as it dropped; "quotas": `quotas` decides; "ranked":
             the scores of all layers are ranked together, for drop and for growth
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    @property
    def shares(self) -> Literal["own", "quotas", "ranked"]: ...

    def quotas(self, layers: Sequence[LayerView], dropped: Sequence[int]) -> list[int]:
        """The number of connections to grow in each layer; the sum equals that of `dropped`."""


class DensitySchedule(Protocol):
    """Decides how many connections the network has over time.

    start     density at the start; None: the final density
    globally  whether connections to prune are chosen over all layers together
    """

    @property
    def start(self) -> float | None: ...

    @property
    def globally(self) -> bool: ...

    def share(self, step: TrainingStep, last: int) -> float:
        """How much of the way from the starting to the final density is still ahead: 1 at the
        start, 0 at the end.

        last  step of the last update, where this must be 0
        """


@runtime_checkable
class AdaptiveDensity(Protocol):
    """A density schedule whose targets depend on how training goes, such as on the validation loss.
    A `DensitySchedule` may also be one.

    signals  what `targets` needs besides the weights
    """

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    def targets(self, network: NetworkView, ends: Sequence[int], fraction: float) -> list[int]:
        """The number of connections of each layer after this update, from 1 to K D.

        ends      the number that each layer has by the method's density or epsilon
        fraction  the fraction of a layer's connections that this update drops
        """


@dataclass(frozen=True)
class LayerUpdate:
    """The update of one layer.

    change      the connections that are dropped and grown; None: none
    pruned      how many of the connections that `change` drops are pruned, that is not replaced
    state_kept  factor by which the optimizer's state of kept connections is multiplied
    """

    change: Change | None = None
    pruned: int = 0
    state_kept: float = 1.0


@dataclass(frozen=True)
class Needs:
    """The signals that a method needs besides the weights.

    signals     the signals that are collected before an update
    every_step  whether its growth observes every training step
    scans       whether an update computes something for each of the K D positions of a layer, in
                tiles: time O(K D), memory O(nnz)
    dense_start whether the connections are chosen from a full network before training, whose memory
                or tiles the net peak then shows
    """

    signals: frozenset[Signal] = field(default_factory=frozenset)
    every_step: bool = False
    scans: bool = False
    dense_start: bool = False


@runtime_checkable
class Topology(Protocol):
    """A topology method: how many connections each layer starts with, and how they change.

    replaces_step  whether the mini-batch that an update uses is not trained on, as in RigL
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def replaces_step(self) -> bool: ...

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        """nnz of each layer at the start."""

    def due(self, step: TrainingStep) -> bool: ...

    def layer_updates(self, network: NetworkView) -> Sequence[LayerUpdate]:
        """The update of each layer; empty if no layer changes. No connection may grow at a closed
        position: see `LayerView.closed_rows`."""


@runtime_checkable
class RefusesCompaction(Protocol):
    """A topology method that may still need hidden neurons without connections."""

    def why_not_compact(self) -> str | None:
        """Why dead neurons may not be removed during training, as words that follow the method's
        name in a message; None if they may."""


class Pruning(Protocol):
    """Removes hidden neurons for good, before the topology update of the same step.

    outgoing  whether the outgoing connections of a removed neuron are removed too
    regrow    whether connections to a removed neuron may be grown again
    """

    @property
    def outgoing(self) -> bool: ...

    @property
    def regrow(self) -> bool: ...

    def due(self, step: TrainingStep) -> bool: ...

    def remove(self, W: CsrMatrix, alive: Mask, started: int) -> Mask:
        """(K,) mask of the neurons of this hidden layer to remove now.

        W        (K, D) incoming weights of the layer
        alive    (K,) False for neurons without incoming connections, and for removed ones unless
                 `regrow`
        started  number of neurons of the layer when training began; more than K if dead neurons
                 have been taken out of the arrays since
        """
