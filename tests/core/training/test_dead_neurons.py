"""Dead neurons are taken out in training: smaller layers, the same function, and all state with
them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small import Blobs, prepare, small_work
from test_resuming import assert_same, interrupted, single_steps  # noqa: F401

from sparsebench.core.methods.update import TopologyUpdater
from sparsebench.core.methods.view import State
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.dead_neurons import remove_dead_neurons
from sparsebench.core.training.loop import train
from sparsebench.errors import Unsupported
from sparsebench.testing import check_trajectory

BACKENDS = ("scipy-csr", "numba-csr", "dense-mask")
HIDDEN = [40, 30]
CUT = {"name": "neurons", "start": 1, "every": 1, "share": 0.3, "least": 0.4}


def model(activation="all-relu", dropout=0.0, **more):
    shape = {"hidden": HIDDEN, "activation": activation, "dropout": dropout}
    return {"name": "mlp", **shape, "compact_every": 1, **more}


def in_training(build, **given):
    """A network after some steps, with neurons of three kinds cut off: without a way in, without a
    way out, and one behind constants alone."""
    work = small_work(build, **given)
    network = build_network(work)
    for t in range(1, 4):
        network.train_step(*work.data.train.batch(np.arange(32)), 0.05, t)
    updater = TopologyUpdater(
        network, work.topology, None, work.model.initializer, work.optimizer, 0
    )
    first, second, _ = (layer.weights() for layer in network.layers)
    feeds = np.zeros(HIDDEN[0], dtype=bool)
    feeds[second.indices[second.rows == 4]] = True
    updater.drop_for_good(
        [
            first.pattern.outside(feeds, None),
            second.pattern.outside(np.isin(np.arange(HIDDEN[1]), [7]), None),
            network.layers[2].weights().pattern.outside(None, np.isin(np.arange(30), [9, 11])),
        ]
    )
    return work, network, updater


@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "all-relu", "srelu", "tanh",
                                        "sigmoid", "identity"])  # fmt: skip
@pytest.mark.parametrize("backend", ["scipy-csr", "dense-mask"])
def test_the_function_stays(build, activation, backend):
    work, network, updater = in_training(build, model=model(activation), backend=backend)
    X = work.data.test.batch(np.arange(90))[0]
    before = network.outputs(X).copy()
    assert remove_dead_neurons(work, network, updater)
    np.testing.assert_allclose(network.outputs(X), before, atol=2e-5)
    first, second, last = (layer.shape for layer in network.layers)
    assert (second[1], last[1]) == (first[0], second[0])
    assert first[0] < HIDDEN[0]
    assert second[0] <= HIDDEN[1] - 4
    for layer in network.layers:
        layer.weights().validate()
    assert not remove_dead_neurons(work, network, updater)


def test_training_goes_on_as_if_nothing_had_happened(build):
    """Weights, momentum and trained activations move with their neurons: the same losses as the
    whole network has, as long as no constant is trained."""
    losses = {}
    for compacts in (False, True):
        work, network, updater = in_training(
            build, model=model("srelu"), backend="scipy-csr", topology={"name": "set", "epsilon": 9}
        )
        for index in (1, 2):  # no constants: what nothing reaches reaches nothing
            below, above = (network.layers[n].weights() for n in (index - 1, index))
            dead = below.pattern.in_degrees() == 0
            keeps = [np.ones(layer.nnz, dtype=bool) for layer in network.layers]
            keeps[index] = above.pattern.outside(None, dead)
            updater.drop_for_good(keeps)
        if compacts:
            assert remove_dead_neurons(work, network, updater)
        X, T = work.data.train.batch(np.arange(32))
        losses[compacts] = [network.train_step(X, T, 0.05, t) for t in range(4, 14)]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)


def test_positions_that_a_method_remembers_follow_their_neurons():
    """Of inputs 0 to 3 number 1 goes, of neurons 0 to 2 number 0."""
    state = State()
    places = np.array([0, 1, 1, 2]), np.array([0, 1, 3, 2])
    state.positions["p", 0] = (*places, np.array([5.0, 6.0, 7.0, 8.0], dtype=np.float32))
    columns, rows = np.array([True, False, True, True]), np.array([False, True, True])
    state.renumber(0, columns, rows)
    assert [part.tolist() for part in state.positions["p", 0]] == [[0, 1], [2, 1], [7.0, 8.0]]
    again = State()
    again.restore(dict(state.saved()))
    assert [part.tolist() for part in again.positions["p", 0]] == [[0, 1], [2, 1], [7.0, 8.0]]


def test_backends_walk_the_same_trajectory_with_ever_smaller_layers(build):
    losses, ends = {}, {}
    for backend in BACKENDS:
        losses[backend] = []
        work = small_work(
            build, backend=backend, model=model(dropout=0.2), epochs=5, pruning=CUT,
            topology={"name": "set", "epsilon": 6},
            progress=lambda epoch, step, loss, to=losses[backend]: to.append(loss),
        )  # fmt: skip
        ends[backend] = train(work)
    check_trajectory(losses)
    for backend, result in ends.items():
        sizes = [epoch.layer_metrics["neurons_of_layer"] for epoch in result.epochs]
        assert sizes[-1] == [layer.shape[0] for layer in result.network.layers]
        # two fifths of the first sizes stay, not of what was left the last time
        assert 16 <= sizes[-1][0] <= 20, backend
        assert 12 <= sizes[-1][1] <= 15
        measures = result.measures
        assert measures["hidden_neurons"] == sum(sizes[-1][:-1])
        assert measures["dense_connections"] == 20 * 40 + 40 * 30 + 30 * 4
        stored = [epoch.metrics["network_bytes"] for epoch in result.epochs]
        assert stored[-1] < stored[0]


METHODS = {
    "rigl": {"name": "rigl", "density": 0.2, "update_every": 4},
    "snfs": {"name": "snfs", "density": 0.2, "update_every": 4},
    "chts": {"name": "chts", "density": 0.2},
    "granet": {"name": "granet", "density": 0.1, "update_every": 4},
    "gmp": {"name": "gmp", "density": 0.05, "update_every": 4},
    "srigl": {"name": "srigl", "density": 0.1, "update_every": 4},
    "static": {"name": "static", "epsilon": 3},
}


@pytest.mark.parametrize("method", METHODS)
def test_methods_go_on_with_smaller_layers_and_from_a_checkpoint(build, tmp_path, method):
    given = {
        "model": model("srelu", 0.1), "backend": "scipy-csr", "topology": METHODS[method],
        "pruning": CUT, "epochs": 4,
    }  # fmt: skip
    undisturbed = train(small_work(build, **given))
    assert undisturbed.measures["hidden_neurons"] < sum(HIDDEN)
    assert_same(undisturbed, interrupted(build, tmp_path / "c.npz", 26, 29, **given))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"topology": "top-kast"}, "TopKast trains other parameters than weights"),
        ({"topology": "acdc"}, "ACDC makes every position a connection again"),
        ({"topology": {"name": "magnitude-pruning", "rewinds": True}}, "rewinds to weights"),
    ],
)
def test_what_needs_the_numbers_is_refused(build, given, why):
    with pytest.raises(Unsupported, match=why):
        train(small_work(build, model=model(), backend="scipy-csr", **given))


def test_an_observer_of_positions_is_refused(build):
    work = small_work(build, model=model(), backend="scipy-csr")
    work = replace(work, observers={"overlap": build("observer", "overlap")})
    with pytest.raises(Unsupported, match=r"compact_every .*Overlap remembers positions"):
        train(work)


def test_a_magnitude_pruned_network_is_smaller_and_predicts_as_well(build):
    parts = (Blobs(330, 20, 4, 1), Blobs(90, 20, 4, 2), 4)
    topology = {"name": "magnitude-pruning", "density": 0.02}
    given = {"backend": "scipy-csr", "topology": topology, "epochs": 6, "data": prepare(parts)}
    small = train(small_work(build, model=model(), **given))
    whole = train(small_work(build, model=model(compact_every=None), **given))
    assert small.measures["hidden_neurons"] < sum(HIDDEN)
    assert small.measures["stored_bytes"] < whole.measures["stored_bytes"]
    assert abs(small.measures["test_accuracy"] - whole.measures["test_accuracy"]) < 0.1
