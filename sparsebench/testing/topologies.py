"""The laws of topology methods and prunings."""

from __future__ import annotations

import tracemalloc

import numpy as np

from sparsebench.core.methods.moment import Moment
from sparsebench.core.methods.update import LayerView
from sparsebench.core.protocols import Pruning, Topology
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.testing.fixtures import UniformWeights, check_parameters, random_matrix

SHAPES = [(30, 40), (30, 30), (4, 30)]


def moments(epochs: int = 4, steps_per_epoch: int = 3) -> list[Moment]:
    """Every step of a short training, and the ends of its epochs."""
    return [
        Moment(
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
    """Allocation within each layer; updates canonical, repeatable, of constant nnz, outside
    closed neurons, and in memory of order nnz.

    keeps_connections  False for a method whose schedule changes the density
    """
    check_parameters(topology)
    counts = topology.connections(SHAPES)
    assert len(counts) == len(SHAPES), f"connections() gives {len(counts)} layers for 3"
    for count, (K, D) in zip(counts, SHAPES, strict=True):
        assert isinstance(count, int), f"connections() gives {type(count).__name__}, not int"
        assert 0 < count <= K * D, f"{count} connections for a layer of {K} x {D}"
    due = [moment for moment in moments() if topology.due(moment)]
    assert not any(moment.last_step for moment in due), (
        "an update after the last step leaves grown connections untrained"
    )
    for moment in due or moments()[2:3]:
        for index, (shape, nnz) in enumerate(zip(SHAPES, counts, strict=True)):
            _check_update(topology, shape, nnz, index, moment, keeps_connections)
    _check_memory(topology)


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
    due = [moment for moment in moments(epochs=500, steps_per_epoch=1) if pruning.due(moment)]
    assert not any(moment.last_epoch for moment in due), "pruning after the last step"


def _view(W: CsrMatrix, index: int, rows: object = None, columns: object = None) -> LayerView:
    return LayerView(W, index, len(SHAPES), rows, columns, UniformWeights())  # type: ignore[arg-type]


def _check_update(
    topology: Topology,
    shape: tuple[int, int],
    nnz: int,
    index: int,
    moment: Moment,
    keeps_connections: bool,
) -> None:
    W = random_matrix(shape, nnz, np.random.default_rng(index))
    untouched = W.data.copy()
    change = topology.update(_view(W, index), moment, np.random.default_rng(7))
    again = topology.update(_view(W, index), moment, np.random.default_rng(7))
    assert np.array_equal(W.data, untouched), "update() writes into the weights"
    if change is None:
        assert again is None, "update() is not repeatable"
        return
    assert again is not None, "update() is not repeatable"
    for name in ("keep", "rows", "columns", "values"):
        same = np.array_equal(getattr(change, name), getattr(again, name))
        assert same, f"update() is not repeatable: {name} differs for equal generators"
    after = W.apply(change)
    after.validate()
    if keeps_connections:
        assert after.nnz == W.nnz, f"{W.nnz} connections became {after.nnz}"
    _check_closed(topology, W, index, moment)


def _check_closed(topology: Topology, W: CsrMatrix, index: int, moment: Moment) -> None:
    """Nothing is grown into a neuron that is gone."""
    rows, columns = np.zeros(W.shape[0], dtype=bool), np.zeros(W.shape[1], dtype=bool)
    rows[::3], columns[::4] = True, True
    change = topology.update(_view(W, index, rows, columns), moment, np.random.default_rng(1))
    if change is not None:
        assert not rows[np.asarray(change.rows, dtype=int)].any(), "grows into a closed row"
        assert not columns[np.asarray(change.columns, dtype=int)].any(), (
            "grows from a closed column"
        )
        W.apply(change).validate()


def _check_memory(topology: Topology) -> None:
    """An update of a wide sparse layer takes under 400 bytes per connection and neuron; a
    dense array would take 10,000 and more."""
    K = D = 40_000
    nnz = 40_000
    W = random_matrix((K, D), nnz, np.random.default_rng(0))
    moment = next((m for m in moments() if topology.due(m)), moments()[2])
    tracemalloc.start()
    try:
        topology.update(_view(W, 0), moment, np.random.default_rng(0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400 * (nnz + K + D), f"an update took {peak} bytes for {nnz} connections"
