"""The laws of topology methods and prunings."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np

from sparsebench.core.methods.protocols import LayerUpdate, Pruning, Topology
from sparsebench.core.methods.state import State
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.methods.view import LayerView, NetworkView
from sparsebench.core.protocols import LayerSignals
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.testing.fixtures import UniformWeights, check_parameters, random_matrix

SHAPES = [(30, 40), (30, 30), (4, 30)]
SAMPLES = 6


def training_steps(epochs: int = 4, steps_per_epoch: int = 3) -> list[TrainingStep]:
    """Every step of a short training, and the ends of its epochs."""
    return [
        TrainingStep(
            epoch=epoch,
            epochs=epochs,
            step=(epoch - 1) * steps_per_epoch + step,
            steps_per_epoch=steps_per_epoch,
            epoch_ended=step == steps_per_epoch,
        )
        for epoch in range(1, epochs + 1)
        for step in range(1, steps_per_epoch + 1)
    ]


def check_topology(topology: Topology, *, keeps_connections: bool = True) -> None:
    """Allocation within each layer; updates canonical, repeatable, outside closed neurons, with as
    many connections in all as before, and in memory of order nnz.

    keeps_connections  False for a method whose schedule changes the density
    """
    check_parameters(topology)
    counts = topology.connections(SHAPES)
    assert len(counts) == len(SHAPES), f"connections() gives {len(counts)} layers for 3"
    for count, (K, D) in zip(counts, SHAPES, strict=True):
        assert isinstance(count, int), f"connections() gives {type(count).__name__}, not int"
        assert 0 < count <= K * D, f"{count} connections for a layer of {K} x {D}"
    steps = [*training_steps(), *training_steps(3, 1500)]
    due = [step for step in steps if topology.due(step)]
    assert not any(step.last_step for step in due), (
        "an update after the last step leaves grown connections untrained"
    )
    for step in (due[:2] + due[-2:]) or steps[2:3]:
        _check_update(topology, counts, step, keeps_connections)
        _check_closed(topology, counts, step)
    _check_memory(topology, due[0] if due else steps[2])


def check_pruning(pruning: Pruning) -> None:
    """Removes only living neurons, never all of a layer, and repeatably."""
    check_parameters(pruning)
    for seed in range(5):
        W = random_matrix((30, 40), 200, np.random.default_rng(seed))
        alive = W.pattern.in_degrees() > 0
        gone = pruning.remove(W, alive)
        assert gone.shape == (30,), "remove() gives a mask over the layer's neurons"
        assert gone.dtype == np.bool_, "remove() gives a boolean mask"
        assert not (gone & ~alive).any(), "a neuron that is gone already is removed"
        assert (alive & ~gone).any(), "every neuron of the layer is removed"
        assert np.array_equal(gone, pruning.remove(W, alive)), "remove() is not repeatable"
    steps = training_steps(epochs=500, steps_per_epoch=1)
    due = [step for step in steps if pruning.due(step)]
    assert not any(step.last_epoch for step in due), "pruning after the last step"


def random_network(
    layers: Sequence[CsrMatrix], step: TrainingStep, *, samples: int = SAMPLES
) -> NetworkView:
    """These weights with random signals of a mini-batch, and random momentum."""
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.standard_normal(shape, dtype=np.float32)

    batch = [LayerSignals(normal(W.shape[1], samples), normal(W.shape[0], samples)) for W in layers]
    momentum = [normal(W.nnz) for W in layers]
    return NetworkView.of(
        layers, UniformWeights(), step, seed=7, batch=batch, momentum=momentum, state=State()
    )


def updates_of(topology: Topology, network: NetworkView) -> list[LayerUpdate]:
    """The updates, after the method has seen one training step if it wants to."""
    if topology.needs.every_step:
        for index in range(network.count):
            layer = network.layer(index)
            topology.after_backward(layer, layer.X, layer.DZ)  # type: ignore[attr-defined]
    return list(topology.layer_updates(network))


def _weights(counts: Sequence[int]) -> list[CsrMatrix]:
    return [
        random_matrix(shape, nnz, np.random.default_rng(index))
        for index, (shape, nnz) in enumerate(zip(SHAPES, counts, strict=True))
    ]


def _check_update(
    topology: Topology, counts: Sequence[int], step: TrainingStep, keeps_connections: bool
) -> None:
    layers = _weights(counts)
    untouched = [W.data.copy() for W in layers]
    found = updates_of(topology, random_network(layers, step))
    again = updates_of(topology, random_network(layers, step))
    for W, before in zip(layers, untouched, strict=True):
        assert np.array_equal(W.data, before), "layer_updates() writes into the weights"
    assert len(found) in (0, len(layers)), (
        f"layer_updates() gives {len(found)} layers for {len(layers)}"
    )
    assert len(found) == len(again), "layer_updates() is not repeatable"
    if not found:
        return
    after = 0
    for W, update, repeated in zip(layers, found, again, strict=True):
        after += _check_change(W, update, repeated)
    if keeps_connections:
        nnz = sum(W.nnz for W in layers)
        assert after == nnz, f"{nnz} connections became {after}"


def _check_change(W: CsrMatrix, update: LayerUpdate, repeated: LayerUpdate) -> int:
    """The connections of the layer afterwards."""
    if update.change is None:
        assert repeated.change is None, "layer_updates() is not repeatable"
        return W.nnz
    for name in ("keep", "rows", "columns", "values"):
        same = np.array_equal(getattr(update.change, name), getattr(repeated.change, name))
        assert same, f"layer_updates() is not repeatable: {name} differs for equal generators"
    assert 0 <= update.pruned <= update.change.dropped, "more is pruned than dropped"
    after = W.apply(update.change)
    after.validate()
    return after.nnz


def _check_closed(topology: Topology, counts: Sequence[int], step: TrainingStep) -> None:
    """Nothing is grown into a neuron that is gone."""
    layers = _weights(counts)
    view = random_network(layers, step)

    def closed(index: int) -> LayerView:
        K, D = layers[index].shape
        rows, columns = np.arange(K) % 3 == 0, np.arange(D) % 4 == 0
        layer = view.layer(index)
        return LayerView(
            layer.source, index, layer.count, step, layer.seed, layer.initializer, layer.state,
            rows, columns,
        )  # fmt: skip

    network = NetworkView(closed, step, view.shapes, view.connections, view.started)
    for index, update in enumerate(updates_of(topology, network)):
        if update.change is not None:
            layer = closed(index)
            assert layer.closed_rows is not None
            assert layer.closed_columns is not None
            rows, columns = update.change.rows, update.change.columns
            assert not layer.closed_rows[rows.astype(int)].any(), "grows into a closed row"
            assert not layer.closed_columns[columns.astype(int)].any(), "grows from a closed column"
            layers[index].apply(update.change).validate()


def _check_memory(topology: Topology, step: TrainingStep) -> None:
    """An update of wide sparse layers takes under 400 bytes per connection and neuron, and 8 MiB
    for tiles; a dense array would take far more. Layers are smaller for a method that scans all
    positions."""
    K = D = 4_000 if topology.needs.scans else 40_000
    W = random_matrix((K, D), K, np.random.default_rng(0))
    network = random_network([W, W], step, samples=2)
    tracemalloc.start()
    try:
        updates_of(topology, network)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    most = 2 * 400 * (W.nnz + K + D) + 2**23
    assert peak < most, f"an update took {peak} bytes for {W.nnz} connections"
