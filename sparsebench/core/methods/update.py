"""Applies topology updates, by a topology method and a pruning, to a network in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from sparsebench.core.arrays import Array, Mask, Matrix
from sparsebench.core.csr_batch import Batch
from sparsebench.core.methods.protocols import LayerUpdate, Pruning, Topology
from sparsebench.core.methods.training_position import TrainingStep, Validation
from sparsebench.core.methods.view import LayerView, NetworkView, State
from sparsebench.core.nn.parametrisation import ParametrisedLayer
from sparsebench.core.protocols import (
    HasMomentum,
    Initializer,
    LayerSignals,
    Network,
    Observable,
    Optimizer,
    ScalesState,
    Shape,
)
from sparsebench.core.sparse.csr import AppliedChange, Change
from sparsebench.core.training.checkpoint import flags, saved_flags
from sparsebench.errors import Unsupported

OnChange = Callable[[int, Change], None]
Observe = Callable[[], Sequence[LayerSignals]]
Validate = Callable[[], Validation]


@dataclass
class Counts:
    """The numbers of connections dropped, grown and pruned since `TopologyUpdater.take_counts` was
    last called, for each layer."""

    dropped: list[int]
    grown: list[int]
    pruned: list[int]

    @classmethod
    def zero(cls, layers: int) -> Counts:
        return cls([0] * layers, [0] * layers, [0] * layers)


class TopologyUpdater:
    """Prunes, then lets the method drop and grow; keeps a mask of removed neurons.

    state    the method's state between updates
    due_now  whether `update` calls the method even if no update is due
    counts   connections changed since `take_counts` was last called
    """

    def __init__(
        self,
        network: Network,
        topology: Topology,
        pruning: Pruning | None,
        initializer: Initializer,
        optimizer: Optimizer,
        seed: int,
        on_change: OnChange | None = None,
        shapes: Sequence[Shape] | None = None,
    ) -> None:
        """on_change  called with a layer's index and its change, after each change
        shapes     (K, D) of each layer when training began; None: the present shapes

        Raises Unsupported if the network or the optimizer does not provide a signal that the method
        needs.
        """
        self.state = State()
        self._most_bytes = 0
        self.due_now = False
        self.counts = Counts.zero(len(network.layers))
        self._on_change = on_change if on_change is not None else lambda index, change: None
        self._network = network
        self._topology = topology
        self._pruning = pruning
        self._initializer = initializer
        self._optimizer = optimizer
        self._seed = seed
        self._started = [layer.nnz for layer in network.layers]
        self._first_shapes = shapes or [layer.shape for layer in network.layers]
        self._removed = [np.zeros(layer.shape[0], dtype=bool) for layer in network.layers]
        needs, name = topology.needs, type(topology).__name__
        if (needs.every_step or self.needs_batch) and not isinstance(network, Observable):
            raise Unsupported(
                f"{name} needs activations and gradients, which {type(network).__name__} does "
                "not provide: it has no observe() and watch()"
            )
        has_momentum = isinstance(optimizer, HasMomentum) and bool(optimizer.slots)
        if "momentum" in needs.signals and not has_momentum:
            raise Unsupported(
                f"{name} looks at the optimizer's momentum, and {type(optimizer).__name__} keeps "
                "none here: set optimizer.momentum above 0"
            )

    @property
    def needs_batch(self) -> bool:
        """Whether an update uses a mini-batch."""
        return "batch" in self._topology.needs.signals

    @property
    def replaces_step(self) -> bool:
        return self._topology.replaces_step

    def due(self, step: TrainingStep) -> bool:
        pruning = self._pruning is not None and self._pruning.due(step)
        return pruning or self._topology.due(step)

    @property
    def needs_validation(self) -> bool:
        """Whether an update uses the validation samples."""
        return "validation" in self._topology.needs.signals

    def update(
        self,
        step: TrainingStep,
        observe: Observe | None = None,
        validate: Validate | None = None,
    ) -> None:
        """Make the updates that are due at this step: first prune, then drop and grow. The random
        draws for a layer depend only on the seed, the step and the layer.

        observe   returns each layer's signals for a mini-batch; called after pruning, and only if
                  the method needs a batch
        validate  returns the network's score on the validation samples; called only if the method
                  needs it
        """
        if self._pruning is not None and self._pruning.due(step):
            self._prune(self._pruning)
        if self.due_now or self._topology.due(step):
            self._update_all(step, observe, validate)

    @contextmanager
    def using_method(self, topology: Topology) -> Iterator[None]:
        """Within the block, `update` calls this method instead, even if no update is due. It must
        not need other signals than the method that it replaces."""
        before, self._topology = self._topology, topology
        before_due, self.due_now = self.due_now, True
        try:
            yield
        finally:
            self._topology, self.due_now = before, before_due

    def measure_state(self) -> int:
        """The largest size of the method's state so far in bytes, measured at each update and at
        each call of this function."""
        self._most_bytes = max(self._most_bytes, self.state.nbytes())
        return self._most_bytes

    def rehearse(self, step: TrainingStep, observe: Observe | None = None) -> None:
        """Prune and update even if neither is due, so that all code is compiled. For throwaway
        networks."""
        self.due(step)
        if self._pruning is not None:
            self._prune(self._pruning)
        self._update_all(step, observe, lambda: Validation(1.0, 0.0))

    def watch(
        self,
        step_at: Callable[[int], TrainingStep],
        timed: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Call the method in every training step from now on, if it observes these.

        step_at  returns the training position of step t
        timed    returns the context manager for each call
        """
        after_backward = getattr(self._topology, "after_backward", None)
        if not self._topology.needs.every_step or after_backward is None:
            return
        assert isinstance(self._network, Observable)

        def look(index: int, X: Batch, DZ: Matrix, t: int) -> None:
            with timed():
                after_backward(self._view(step_at(t), None, None, index), X, DZ)

        self._network.watch(look)

    def take_counts(self) -> Counts:
        """The counts since the last call, and start new ones."""
        counts, self.counts = self.counts, Counts.zero(len(self._network.layers))
        return counts

    def saved(self) -> Iterator[tuple[str, Array]]:
        """Yield the masks of removed neurons and the method's state."""
        yield from flags(self._removed)
        yield from self.state.saved()

    def restore(
        self, saved: Mapping[str, Array], counts: Counts, started: Sequence[int] | None = None
    ) -> None:
        """Continue from what `saved` yielded.

        counts   connections changed since `take_counts` was last called
        started  number of connections of each layer when training began; None: the present number
        """
        self._removed = [
            saved_flags(saved, number, layer.shape[0])
            for number, layer in enumerate(self._network.layers, 1)
        ]
        self.state.restore(saved)
        self.counts = counts
        if started is not None:
            self._started = list(started)

    def _update_all(
        self, step: TrainingStep, observe: Observe | None, validate: Validate | None
    ) -> None:
        self.measure_state()
        batch = observe() if self.needs_batch and observe is not None else None
        if self.needs_validation and validate is not None:
            found = validate()
            validate = lambda: found  # noqa: E731
        layers = self._network.layers
        view = NetworkView(
            layer=partial(self._view, step, batch, validate),
            step=step,
            shapes=[layer.shape for layer in layers],
            connections=[layer.nnz for layer in layers],
            started=self._started,
            first_shapes=self._first_shapes,
            state=self.state,
            validate=validate,
        )
        updates = iter(self._topology.layer_updates(view))
        for index in range(len(layers)):  # no name here holds a change while the next one is made
            self._apply(index, next(updates, LayerUpdate()))

    def _apply(self, index: int, update: LayerUpdate) -> None:
        change, layer = update.change, self._network.layers[index]
        if change is None:
            return
        if self.state.follows(index):
            self.state.carry(index, AppliedChange(layer.weights().pattern, change))
        layer.apply_change(change)
        if update.state_kept != 1:
            if not isinstance(layer, ScalesState):
                raise Unsupported(
                    f"{type(layer).__name__} cannot change its optimizer state; leave "
                    "topology.state_kept out"
                )
            layer.scale_state(update.state_kept)
        self._on_change(index, change)
        self.counts.dropped[index] += change.dropped - update.pruned
        self.counts.grown[index] += change.grown
        self.counts.pruned[index] += update.pruned

    def _view(
        self,
        step: TrainingStep,
        batch: Sequence[LayerSignals] | None,
        validate: Validate | None,
        index: int,
    ) -> LayerView:
        layer, optimizer = self._network.layers[index], self._optimizer
        rows = columns = momentum = None
        if self._pruning is not None and not self._pruning.regrow:
            rows = _if_any(self._removed[index])
            if index > 0 and self._pruning.outgoing:
                columns = _if_any(self._removed[index - 1])
        if isinstance(optimizer, HasMomentum):
            momentum = lambda: optimizer.smoothed_gradient(layer.state())  # noqa: E731
        weights = layer.parameters if isinstance(layer, ParametrisedLayer) else layer.weights
        return LayerView(
            weights, index, len(self._network.layers), step, self._seed, self._initializer,
            self.state, None if batch is None else batch[index], momentum, rows, columns, validate,
        )  # fmt: skip

    def _prune(self, pruning: Pruning) -> None:
        """Remove hidden neurons: drop their incoming connections and, if the pruning says so, their
        outgoing ones."""
        layers = self._network.layers
        removed: list[Mask | None] = [None]  # of each layer's inputs; last, of the outputs
        for index, layer in enumerate(layers[:-1]):
            W = layer.weights()
            alive = W.pattern.in_degrees() > 0
            if not pruning.regrow:
                alive &= ~self._removed[index]
            gone = pruning.remove(W, alive, self._first_shapes[index][0])
            self._removed[index] |= gone
            removed.append(_if_any(gone))
        removed.append(None)
        for index, layer in enumerate(layers):
            columns, rows = removed[index : index + 2]
            if not pruning.outgoing:
                columns = None
            if rows is not None or columns is not None:
                self._drop_for_good(index, layer.weights().pattern.outside(rows, columns))

    def drop_for_good(self, keeps: Sequence[Mask]) -> None:
        """Drop the connections of each layer that are False in its mask (nnz,). They count as
        pruned."""
        for index, keep in enumerate(keeps):
            self._drop_for_good(index, keep)

    def _drop_for_good(self, index: int, keep: Mask) -> None:
        change = Change.drop(keep)
        if change.dropped:
            self._apply(index, LayerUpdate(change, pruned=change.dropped))

    def renumber(self, ends: Sequence[Mask]) -> None:
        """Renumber the state after neurons were removed from the network.

        ends  masks of the remaining neurons: of the network's inputs, then of each layer
        """
        for index, (columns, rows) in enumerate(pairwise(ends)):
            self._removed[index] = self._removed[index][rows]
            self.state.renumber(index, columns, rows)


def _if_any(mask: Mask) -> Mask | None:
    return mask if mask.any() else None
