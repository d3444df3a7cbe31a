"""Operations of a layer that can be timed repeatedly, called through the protocols.

For any backend they are obtained as follows:

forward, backward, backward-and-step   the layer's method of that name
sddmm       `backward` without DX: the gradient on the pattern and of the bias
transposed  `backward` minus `backward` without DX: the time that W^T DZ adds to a pass that reads
            DZ anyway; if both are one pass, this is less than the product alone would take
index       `apply_change` with an empty change: indices are rebuilt, values are carried over
drop        `apply_change` with only the drops of a topology update
grow        `apply_change` that grows these connections again
rewire      a topology update, with the choice of connections and `apply_change`, of every layer
evaluate    the network's outputs for a batch

With `through`, the backend applies its own units (activation functions) while it writes, and arrays
between layers have its type and layout, as in training.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.methods.update import TopologyUpdater
from sparsebench.core.methods.view import NetworkView
from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.protocols import Layer, Network, ThroughLayer, Unit
from sparsebench.core.sparse.csr import Change
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported
from sparsebench_roofline.model import Demand, Size, demand
from sparsebench_roofline.quiet_timing import quietest

RATE = 1e-9
"""Learning rate of the updates, so small that thousands of updates hardly change the weights."""

SLOPE = 0.5
"""Slope of the units below zero, if the layer applies units."""

STEP = TrainingStep(epoch=1, epochs=3, step=1, steps_per_epoch=1, epoch_ended=True)


@dataclass(eq=False)
class Operation:
    """An operation to time.

    call     the call that is timed
    less     a call whose time is subtracted; None: none
    before   called before each call, without being timed; None: none
    needs    the operation's demand by the roofline model
    rows     flat array whose rows the operation gathers, for the probes; None if it gathers none
    """

    call: Callable[[], object]
    needs: Demand
    rows: Array | None = None
    less: Callable[[], object] | None = None
    before: Callable[[], object] | None = None
    _calls: int = field(default=0, init=False)

    def seconds(self, least: float) -> float:
        """Seconds of one call, less those of a call of `less`. Each timing repeats the call for
        about `least` seconds. The first use also warms up."""
        if self._calls == 0:
            self._calls = self._enough(least)
        took, _ = quietest(lambda: self._timed(self.call, self._calls))
        if took * self._calls < least / 2:  # it was disturbed when calls were counted
            self._calls = self._enough(least)
            took, _ = quietest(lambda: self._timed(self.call, self._calls))
        less = self.less
        return took if less is None else took - quietest(lambda: self._timed(less, self._calls))[0]

    def _enough(self, least: float) -> int:
        for call in (self.call, self.less):
            if call is not None:
                self._timed(call, 1)
        took, _ = quietest(lambda: self._timed(self.call, 1))
        return max(1, round(least / max(took, 1e-7)))

    def _timed(self, call: Callable[[], object], calls: int) -> float:
        """Seconds per call: the mean over all calls, or the median if `before` prepares each."""
        if self.before is None:
            began = time.perf_counter()
            for _ in range(calls):
                call()
            return (time.perf_counter() - began) / calls
        singles = []
        for _ in range(calls):
            self.before()
            began = time.perf_counter()
            call()
            singles.append(time.perf_counter() - began)
        return statistics.median(singles)


@dataclass(eq=False)
class Passes:
    """The forward and backward passes of a layer on arrays of `dtype`, which are allocated on first
    use.

    unit, below  the backend's own units (activation functions) of this layer and of the one below,
                 which the passes then apply; without `unit`, the passes of a layer alone
    """

    layer: Layer
    N: int
    dtype: np.dtype[Any]
    below: Unit | None = None
    unit: Unit | None = None

    @cached_property
    def X(self) -> Array:
        return filled((self.layer.shape[1], self.N), self.dtype)

    @cached_property
    def Z(self) -> Array:
        return aligned_empty((self.layer.shape[0], self.N), self.dtype)

    @cached_property
    def DZ(self) -> Array:
        return filled((self.layer.shape[0], self.N), self.dtype)

    @cached_property
    def DX(self) -> Array:
        return aligned_empty((self.layer.shape[1], self.N), self.dtype)

    def forward(self) -> None:
        if self.unit is None:
            self.layer.forward(self.X, self.Z)
        else:
            cast(ThroughLayer, self.layer).forward_through(self.X, self.below, self.Z, self.unit, 1)

    def backward(self, DX: Array | None, rate: float | None = None) -> None:
        if self.unit is not None:
            cast(ThroughLayer, self.layer).backward_through(
                self.X, self.below, self.DZ, self.unit, DX, rate, 1
            )
        elif rate is None:
            self.layer.backward(self.X, self.DZ, DX)
        else:
            self.layer.backward_and_step(self.X, self.DZ, DX, rate, 1)

    @classmethod
    def through(cls, work: Work, network: Network, layer: Layer) -> Passes:
        """The passes of a layer as inside a network: with the backend's own unit for the layer and,
        unless it is the first, one for the layer below, whose output is then X. Raises Unsupported
        if the backend has no units of its own."""
        backend = cast(Any, work.backend)
        if not (hasattr(layer, "forward_through") and hasattr(backend, "unit")):
            raise Unsupported("trainer.through: this backend applies no units of its own")
        dtype = np.dtype(getattr(backend, "activation_dtype", np.float32))
        passes = cls(layer, work.batch_size, dtype, unit=backend.unit(SLOPE, None))
        above = list(network.layers).index(layer)
        if above > 0:
            passes.below = backend.unit(SLOPE, None)
            before = cast(ThroughLayer, network.layers[above - 1])
            inputs = filled((before.shape[1], passes.N), np.dtype(np.float32))
            before.forward_through(inputs, None, passes.X, passes.below, 1)
        passes.forward()
        return passes


def operation(
    kernel: str, work: Work, network: Network, layer: Layer, through: bool = False
) -> Operation:
    """The operation `kernel` on one layer of the network; `rewire` and `evaluate` use all layers.
    Raises Unsupported if the backend or the topology does not have it."""
    if kernel in ("index", "drop", "grow", "rewire"):
        return _change(kernel, work, network, layer)
    if kernel == "evaluate":
        return _evaluate(work, network)
    if through:
        passes = Passes.through(work, network, layer)
    else:
        passes = Passes(layer, work.batch_size, np.dtype(np.float32))
    calls: dict[str, Callable[[], object]] = {
        "forward": passes.forward,
        "sddmm": lambda: passes.backward(None),
        "backward-and-step": lambda: passes.backward(passes.DX, RATE),
    }
    call = calls.get(kernel, lambda: passes.backward(passes.DX))
    less = calls["sddmm"] if kernel == "transposed" else None
    needs = demand(kernel, size(layer, passes.N, passes.dtype.itemsize))
    by_rows = kernel == "forward" or needs.added
    return Operation(call, needs, (passes.X if by_rows else passes.DZ).reshape(-1), less)


def size(layer: Layer, N: int, activation: int = 4) -> Size:
    K, D = layer.shape
    E = layer.nnz
    state = layer.stored_bytes().get("optimizer", 4 * E * len(layer.state()))
    index = layer.weights().indices.itemsize
    return Size(K, D, E, N, activation, index, state // max(E, 1))


def filled(shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """An array of normal random numbers, of which 2^14 are repeated. Any `dtype` but float32 gets
    their upper 16 bits, which are bfloat16."""
    some = np.random.default_rng(0).standard_normal(2**14, dtype=np.float32)
    if dtype != np.float32:
        some = (some.view(np.uint32) >> np.uint32(16)).astype(dtype)
    made = aligned_empty(shape, dtype)
    flat = made.reshape(-1)
    for start in range(0, flat.size, some.size):
        part = flat[start : start + some.size]
        part[...] = some[: part.size]
    return made


# --- changes of topology -------------------------------------------------------------


def _change(kernel: str, work: Work, network: Network, layer: Layer) -> Operation:
    _prepare_training(layer, work.batch_size)
    N = work.batch_size
    if kernel == "index":
        same = Change.drop(np.ones(layer.nnz, dtype=bool))
        return Operation(lambda: layer.apply_change(same), demand("index", size(layer, N)))
    if kernel == "rewire":
        return _rewire(work, network)
    index = list(network.layers).index(layer)
    view = NetworkView.of(
        [each.weights() for each in network.layers], work.model.initializer, STEP, seed=work.seed
    )
    updates = list(work.topology.layer_updates(view))
    found = updates[index].change if updates else None
    if found is None or not found.dropped:
        raise Unsupported(f"trainer.kernel: {kernel!r} needs a topology that drops connections")
    W, gone = layer.weights(), ~found.keep
    share = found.dropped / W.nnz
    drop = Change.drop(found.keep)
    rest = np.ones(W.nnz - found.dropped, dtype=bool)
    grow = Change(rest, W.rows[gone], W.indices[gone], W.data[gone])
    needs = demand(kernel, size(layer, N), share)
    if kernel == "drop":
        whole = [True]

        def made_whole() -> None:
            if not whole[0]:
                layer.apply_change(grow)
            whole[0] = False

        return Operation(lambda: layer.apply_change(drop), needs, before=made_whole)
    return Operation(
        lambda: layer.apply_change(grow), needs, before=lambda: layer.apply_change(drop)
    )


def _rewire(work: Work, network: Network) -> Operation:
    updater = TopologyUpdater(
        network, work.topology, None, work.model.initializer, work.optimizer, work.seed
    )
    updater.rehearse(STEP)
    if not sum(updater.take_counts().dropped):
        raise Unsupported("trainer.kernel: 'rewire' needs a topology that drops connections")
    needs = Demand()
    for layer in network.layers:
        _prepare_training(layer, work.batch_size)
        needs += demand("rewire", size(layer, work.batch_size))
    return Operation(lambda: updater.rehearse(STEP), needs)


def _prepare_training(layer: Layer, N: int) -> None:
    """Make one step on zeros, so that what a backend builds at its first step exists before the
    layer is timed, such as a copy of the connections by column."""
    K, D = layer.shape
    some = min(N, 16)  # above what any backend takes for a small batch
    X, DZ = np.zeros((D, some), np.float32), np.zeros((K, some), np.float32)
    layer.backward_and_step(X, DZ, None, RATE, 1)


def _evaluate(work: Work, network: Network) -> Operation:
    N = work.batch_size
    X = filled((network.layers[0].shape[1], N), np.dtype(np.float32))
    needs = Demand()
    for layer in network.layers:
        needs += demand("evaluate", size(layer, N))
    widest = max(layer.shape[1] for layer in network.layers)
    rows = X if X.shape[0] == widest else filled((widest, N), np.dtype(np.float32))
    return Operation(lambda: network.outputs(X), needs, rows.reshape(-1))
