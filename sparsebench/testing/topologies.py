"""Checks of topology methods, of their parts, and of prunings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from sparsebench.core.methods.initial import ChoosesPositions, InitialNetwork
from sparsebench.core.methods.protocols import (
    AdaptiveDensity,
    Allocation,
    DensitySchedule,
    Drop,
    EveryStep,
    Grow,
    LayerUpdate,
    Pruning,
    Redistribution,
    Topology,
    UpdateSchedule,
)
from sparsebench.core.methods.training_position import TrainingStep, Validation
from sparsebench.core.methods.view import LayerView, NetworkView, State
from sparsebench.core.protocols import LayerSignals, Network
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.selection import all_but_smallest
from sparsebench.discovery import load_plugins
from sparsebench.testing.fixtures import (
    SHAPES,
    PlainDescent,
    UniformWeights,
    check_parameters,
    peak_bytes,
    random_layers,
    random_matrix,
    training_steps,
)

SAMPLES = 6
DROPPED = 60


# --- methods -------------------------------------------------------------------------


def check_topology(topology: Topology, *, keeps_connections: bool = True) -> None:
    """Check that each layer gets from 1 to K D connections, and that updates are repeatable, leave
    canonical matrices, grow nothing at closed neurons, keep the total number of connections, and
    take memory of order nnz. No update may be due after the last step.

    keeps_connections  False for a method whose schedule changes the number of connections
    """
    check_parameters(topology)
    counts = topology.connections(SHAPES)
    _check_counts(counts, "connections()")
    steps = [*training_steps(), *training_steps(3, 1500)]
    due = [step for step in steps if topology.due(step)]
    assert not any(step.last_step for step in due), (
        "an update after the last step leaves grown connections untrained"
    )
    for step in (due[:2] + due[-2:]) or steps[2:3]:
        _check_update(topology, counts, step, keeps_connections)
        _check_closed(topology, counts, step)
    # under 400 bytes per connection and neuron, and 8 MiB for tiles; dense would be far more
    step, side = due[0] if due else steps[2], 4_000 if topology.needs.scans else 40_000
    W = random_matrix((side, side), side, np.random.default_rng(0))
    network = random_network([W, W], step, samples=2)
    peak = peak_bytes(lambda: _updates(topology, network))
    assert peak < 2 * 400 * 3 * side + 2**23, f"an update took {peak} bytes for {W.nnz} connections"


def _check_counts(counts: Sequence[int], what: str) -> None:
    assert len(counts) == len(SHAPES), f"{what} gives {len(counts)} layers for {len(SHAPES)}"
    for count, (K, D) in zip(counts, SHAPES, strict=True):
        assert isinstance(count, int), f"{what} gives {type(count).__name__}, not int"
        assert 0 < count <= K * D, f"{count} connections for a layer of {K} x {D}"


def _check_update(
    topology: Topology, counts: Sequence[int], step: TrainingStep, keeps_connections: bool
) -> None:
    layers, untouched = random_layers(counts), random_layers(counts)
    found = _updates(topology, random_network(layers, step))
    again = _updates(topology, random_network(layers, step))
    for W, before in zip(layers, untouched, strict=True):
        assert np.array_equal(W.data, before.data), "layer_updates() writes into the weights"
    assert len(found) in (0, len(layers)), (
        f"layer_updates() gives {len(found)} layers for {len(layers)}"
    )
    assert len(found) == len(again), "layer_updates() is not repeatable"
    after = 0
    for W, update, repeated in zip(layers, found, again):
        change, other = update.change, repeated.change
        assert (change is None) == (other is None), "layer_updates() is not repeatable"
        if change is None:
            after += W.nnz
            continue
        for name in ("keep", "rows", "columns", "values"):
            same = np.array_equal(getattr(change, name), getattr(other, name))
            assert same, f"layer_updates() is not repeatable: {name} differs for equal generators"
        assert 0 <= update.pruned <= change.dropped, "more is pruned than dropped"
        changed = W.apply(change)
        changed.validate()
        after += changed.nnz
    if found and keeps_connections:
        nnz = sum(W.nnz for W in layers)
        assert after == nnz, f"{nnz} connections became {after}"


def _check_closed(topology: Topology, counts: Sequence[int], step: TrainingStep) -> None:
    """Check that no connection grows in a closed row or column, as of a removed neuron."""
    layers = random_layers(counts)
    view = random_network(layers, step)
    masks = [(np.arange(K) % 3 == 0, np.arange(D) % 4 == 0) for K, D in SHAPES]

    def closed(index: int) -> LayerView:
        rows, columns = masks[index]
        return replace(view.layer(index), closed_rows=rows, closed_columns=columns)

    network = replace(view, layer=closed)
    for W, update, (rows, columns) in zip(layers, _updates(topology, network), masks):
        if update.change is not None:
            grown_rows, grown_columns = update.change.rows, update.change.columns
            assert not rows[grown_rows.astype(int)].any(), "grows into a closed row"
            assert not columns[grown_columns.astype(int)].any(), "grows from a closed column"
            W.apply(update.change).validate()


def random_network(
    layers: Sequence[CsrMatrix], step: TrainingStep, *, samples: int = SAMPLES
) -> NetworkView:
    """A view of a network with these weights, with random signals of a mini-batch and random
    momentum."""
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.standard_normal(shape, dtype=np.float32)

    batch = [
        LayerSignals(*(normal(size, samples) for size in (W.shape[1], W.shape[0], W.shape[0])))
        for W in layers
    ]
    momentum = [normal(W.nnz) for W in layers]
    return NetworkView.of(
        layers, UniformWeights(), step, seed=7, batch=batch, momentum=momentum, state=State(),
        validation=Validation(1.0, 0.5),
    )  # fmt: skip


def _updates(topology: Topology, network: NetworkView) -> list[LayerUpdate]:
    """The updates of the layers, after one call of `after_backward` per layer if the method
    observes every step."""
    if topology.needs.every_step:
        for index in range(network.count):
            layer = network.layer(index)
            topology.after_backward(layer, layer.X, layer.DZ)  # type: ignore[attr-defined]
    return list(topology.layer_updates(network))


def check_pruning(pruning: Pruning) -> None:
    """Check that a pruning removes only living neurons, never all of a layer, that it is
    repeatable, and that it is not due in the last epoch."""
    check_parameters(pruning)
    for seed in range(5):
        W = random_matrix((30, 40), 200, np.random.default_rng(seed))
        alive = W.pattern.in_degrees() > 0
        gone = pruning.remove(W, alive, 30)
        assert gone.shape == (30,), "remove() gives a mask over the layer's neurons"
        assert gone.dtype == np.bool_, "remove() gives a boolean mask"
        assert not (gone & ~alive).any(), "a neuron that is gone already is removed"
        assert (alive & ~gone).any(), "every neuron of the layer is removed"
        assert np.array_equal(gone, pruning.remove(W, alive, 30)), "remove() is not repeatable"
    steps = training_steps(epochs=500, steps_per_epoch=1)
    due = [step for step in steps if pruning.due(step)]
    assert not any(step.last_epoch for step in due), "pruning after the last step"


# --- parts of methods ----------------------------------------------------------------


def check_allocation(
    allocation: Allocation, *, density: float | None = 0.2, epsilon: float | None = None
) -> None:
    """Check that each layer gets from 1 to K D connections, and that all layers together do not get
    fewer at twice the density."""
    check_parameters(allocation)
    counts = allocation.counts(SHAPES, density=density, epsilon=epsilon)
    _check_counts(counts, "counts()")
    if density is not None:
        more = allocation.counts(SHAPES, density=min(1.0, 2 * density), epsilon=None)
        assert sum(more) >= sum(counts), "twice the density gives fewer connections"
    if isinstance(allocation, ChoosesPositions):
        _check_places(allocation, counts)


def _check_places(allocation: ChoosesPositions, counts: Sequence[int]) -> None:
    """Check that an allocation returns canonical patterns or matrices of the layers' shapes, the
    same ones each time, and with the total number of connections in `counts`."""
    plugins = load_plugins()
    model: Any = plugins.build(
        "model", plugins.validate("model", {"name": "mlp", "hidden": [30, 30]}, "model")
    )
    loss: Any = plugins.build("loss", {"name": "cross-entropy"})
    rng, no_backend = np.random.default_rng(2), object()
    X, y = rng.standard_normal((40, 20)).astype(np.float32), rng.integers(4, size=20)

    def network_of(layers: Sequence[Any]) -> Network:
        made: Network = model.network(layers, no_backend, PlainDescent(), 0, loss)
        return made

    network = InitialNetwork(SHAPES, counts, 1, UniformWeights(), lambda count: (X, y), network_of)
    first, again = (list(allocation.patterns(network) or ()) for _ in range(2))
    assert [one.shape for one in first] == SHAPES, "patterns() gives other shapes"
    for one, other in zip(first, again, strict=True):
        one.validate()
        assert np.array_equal(one.indices, other.indices), "patterns() is not repeatable"
    assert sum(one.nnz for one in first) == sum(counts), "patterns() gives other numbers in all"


def check_drop(drop: Drop) -> None:
    """Check that there is a float32 score for each connection, the same each time, and that weights
    are not changed."""
    check_parameters(drop)
    W = random_matrix((30, 40), 300, np.random.default_rng(1))
    before = W.data.copy()
    step = training_steps()[1]
    scores, again = (drop.scores(random_network([W], step).layer(0)) for _ in range(2))
    assert scores.shape == (W.nnz,), f"scores() gives {scores.shape} for {W.nnz} connections"
    assert scores.dtype == np.float32, f"scores() gives {scores.dtype}, not float32"
    assert np.array_equal(scores, again), "scores() is not repeatable"
    assert np.array_equal(W.data, before), "scores() writes into the weights"


def check_grow(grow: Grow) -> None:
    """Check that candidates are distinct free positions in ascending order, that there are as many
    as requested if enough are free, and that they have scores if and only if `grow.ranks`."""
    check_parameters(grow)
    for nnz in (300, 1150):
        W = random_matrix((30, 40), nnz, np.random.default_rng(1))
        keep = all_but_smallest(np.abs(W.data), DROPPED)
        free = W.shape[0] * W.shape[1] - int(np.count_nonzero(keep))
        for count in (0, DROPPED, free, free + 10):
            layer = random_network([W], training_steps()[1]).layer(0)
            if isinstance(grow, EveryStep):
                grow.after_backward(layer, layer.X, layer.DZ)
            found = grow.candidates(layer, keep, count)
            keys = found.rows.astype(np.int64) * W.shape[1] + found.columns
            rising = (np.diff(keys) > 0).all()
            assert rising, "candidates are not in rising order, or one comes twice"
            kept = np.isin(keys, W.pattern.keys()[keep], kind="sort")
            assert not kept.any(), "a candidate is a kept connection"
            assert keys.size == min(count, free), (
                f"{keys.size} candidates for {count} wanted, {min(count, free)} free"
            )
            assert (found.scores is not None) == grow.ranks, "`ranks` says whether there are scores"
            if found.scores is not None:
                assert found.scores.shape == keys.shape, "a score for each candidate"


def check_update_schedule(schedule: UpdateSchedule) -> None:
    """Check that no update is due after the last step, that the fraction is in [0, 1), and that
    `last` returns the step of the last update."""
    check_parameters(schedule)
    for steps_per_epoch in (3, 50):
        steps = training_steps(4, steps_per_epoch)
        due = [step for step in steps if schedule.due(step)]
        assert not any(step.last_step for step in due), "an update after the last step"
        for step in due:
            fraction = schedule.fraction(step)
            assert 0 <= fraction < 1, f"a fraction of {fraction} at step {step.step}"
        last = schedule.last(4 * steps_per_epoch, steps_per_epoch)
        found = due[-1].step if due else 0
        assert last == found, f"last() says {last}; the last step that is due is {found}"


def check_redistribution(redistribution: Redistribution) -> None:
    """Check that quotas add up to the number of dropped connections, and that none exceeds the
    number of free positions."""
    check_parameters(redistribution)
    assert redistribution.shares in ("own", "quotas", "ranked")
    layers = random_layers([K * D // 2 for K, D in SHAPES])
    network = random_network(layers, training_steps()[1])
    dropped = [100, 50, 20]
    views = [network.layer(index) for index in range(network.count)]
    quotas = redistribution.quotas(views, dropped)
    assert sum(quotas) == sum(dropped), f"{sum(dropped)} dropped, {sum(quotas)} to grow"
    for quota, view, lost in zip(quotas, views, dropped, strict=True):
        assert 0 <= quota <= view.free() + lost, f"{quota} to grow in a layer with fewer free"


def check_density_schedule(schedule: DensitySchedule) -> None:
    """Check that the share is from 0 to 1, never rises, and is 0 at the last update. For an
    adaptive schedule, check instead that each layer's target is from 1 to K D."""
    check_parameters(schedule)
    assert schedule.start is None or 0 < schedule.start <= 1
    if isinstance(schedule, AdaptiveDensity):
        for step in training_steps(4, 25):
            network = random_network(random_layers([K * D // 2 for K, D in SHAPES]), step)
            targets = schedule.targets(network, [K * D // 4 for K, D in SHAPES], 0.3)
            _check_counts(targets, "targets()")
        return
    steps = training_steps(4, 25)
    shares = [schedule.share(step, last=75) for step in steps if step.step <= 75]
    assert all(0 <= share <= 1 for share in shares), f"a share of {max(shares)}"
    assert all(b <= a for a, b in pairwise(shares)), "the share rises"
    assert shares[-1] == 0, f"a share of {shares[-1]} is left at the last update"
