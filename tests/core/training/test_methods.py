"""Topology methods in training: one trajectory on all backends, and what each method promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from small import Blobs, prepare, small_work

from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.methods.view import NetworkView
from sparsebench.core.sparse.sampling import free_positions
from sparsebench.core.sparse.selection import weakest_per_sign_dropped
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.loop import Training, train
from sparsebench.core.training.steps import Batches
from sparsebench.discovery import load_plugins
from sparsebench.errors import Unsupported
from sparsebench.seeds import generator
from sparsebench.testing import check_trajectory
from sparsebench.testing.fixtures import UniformWeights, random_matrix

PLUGINS = load_plugins()
BACKENDS = ("numba-csr", "scipy-csr", "dense-mask")

METHODS = {
    "rigl": {"name": "rigl", "density": 0.3, "update_every": 10},
    "set in two other words": {
        "name": "set", "epsilon": 6, "drop": "magnitude", "grow": "gradient", "update_every": 10,
    },
    "rigl by gse": {"name": "rigl", "density": 0.3, "grow": "gse", "update_every": 10},
    "gse": {"name": "gse", "density": 0.3, "update_every": 10},
    "gse by ends": {
        "name": "gse", "density": 0.3, "update_every": 10,
        "grow": {"name": "gse", "distribution": "graest"},
    },
    "snfs": {"name": "snfs", "density": 0.3, "update_every": 10},
    "granet": {"name": "granet", "density": 0.1, "update_every": 10},
    "soft": {"name": "dynamic", "epsilon": 6, "drop": "soft-magnitude", "update_every": 10},
    "mest": {"name": "mest", "density": 0.3, "update_every": 10, "state_kept": 0.5},
    "gmp": {"name": "gmp", "density": 0.1, "update_every": 10, "zeta": 0.1},
    "ctre-sim": {"name": "ctre-sim", "epsilon": 6},
    "dst-thresholds": {"name": "dst-thresholds", "density": 0.5, "penalty": 0.05},
    "top-kast": {"name": "top-kast", "density": 0.3, "update_every": 10},
    "wast": {"name": "wast", "epsilon": 6, "update_every": 10},
    "neurofs": {"name": "neurofs", "epsilon": 3, "update_every": 10, "keep": 8},
    "srigl": {"name": "srigl", "density": 0.3, "update_every": 10},
    "percolating": {
        "name": "dynamic", "epsilon": 6, "percolates": True, "settles": 0.9, "dense_last": True,
        "drop": "snip", "grown": "last",
    },
    "linear": {"name": "dynamic", "epsilon": 6, "update": "linear", "layers": [0, 1]},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_backends_walk_the_same_trajectory(build, method):
    """55 steps with an update every 10 (or epoch), dropout and all."""
    losses, ends = {}, {}
    for backend in BACKENDS:
        steps: list[float] = []
        work = small_work(
            build,
            backend=backend,
            topology=METHODS[method],
            epochs=5,
            progress=lambda epoch, step, loss: steps.append(loss),  # noqa: B023
        )
        ends[backend], losses[backend] = train(work), steps
        assert len(steps) >= 50
        grown = sum(sum(epoch.grown) for epoch in ends[backend].epochs)
        assert (grown > 0) == (method != "dst-thresholds")
    check_trajectory(losses)
    patterns = [
        [layer.weights().pattern.keys() for layer in ends[backend].network.layers]
        for backend in BACKENDS
    ]
    for other in patterns[1:]:
        same = [np.isin(a, b).mean() for a, b in zip(patterns[0], other, strict=True)]
        assert min(same) > 0.95  # rounding may flip a choice or two


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("granet", "gmp")])
def test_the_number_of_connections_stays(build, method):
    result = train(small_work(build, topology=METHODS[method], epochs=4))
    totals = {sum(epoch.connections) for epoch in result.epochs}
    assert totals == {result.measures["initial_connections"]}


def test_the_density_of_granet_falls_to_the_one_that_is_asked_for(build):
    topology = {"name": "granet", "density": 0.1, "update_every": 7, "update_until": 30}
    work = small_work(build, topology=topology, epochs=4)
    result = train(work)
    totals = [sum(epoch.connections) for epoch in result.epochs]
    assert totals == sorted(totals, reverse=True)
    assert result.measures["initial_connections"] == round(0.5 * 2120)
    assert totals[-1] == sum(work.topology.final_connections([(40, 20), (30, 40), (4, 30)]))
    assert sum(sum(epoch.pruned) for epoch in result.epochs) == (
        result.measures["initial_connections"] - totals[-1]
    )
    assert sum(result.epochs[0].grown) > 0


@pytest.mark.parametrize("name", [entry.name for entry in PLUGINS["topology"]])
def test_every_method_trains(build, name):
    """Two epochs with updates, which grow or not, with what the method wants to see."""
    fields = {field.name for field in dataclasses.fields(PLUGINS["topology"][name].parameters())}
    given = {"update_every": 4, "density": 0.2, "zeta": 0.3}
    topology = {"name": name} | {key: value for key, value in given.items() if key in fields}
    blobs = (Blobs(330, 20, 4, 1), Blobs(90, 20, 4, 2), 4)
    work = small_work(
        build, topology=topology, backend="scipy-csr", data=prepare(blobs, validation=0.2), epochs=2
    )
    result = train(work)
    assert np.isfinite(result.measures["train_loss"])
    assert result.measures["test_accuracy"] > 0.3
    for layer in result.network.layers:
        layer.weights().validate()
        assert layer.nnz > 0


def test_the_lottery_ticket_starts_again_from_its_initial_weights(build):
    """The learning rate is so small that nothing else moves the weights."""
    topology = {"name": "magnitude-pruning", "density": 0.1, "rewinds": True}
    optimizer = {"name": "sgd", "learning_rate": 1e-12}
    given = {"topology": topology, "optimizer": optimizer, "backend": "scipy-csr", "epochs": 4}
    before = build_network(small_work(build, **given)).layers
    result = train(small_work(build, **given))
    assert result.measures["connections"] == round(0.1 * 2120)
    for layer, start in zip(result.network.layers, before, strict=True):
        left, W = layer.weights(), start.weights()
        at = left.rows.astype(int) * W.shape[1] + left.indices
        np.testing.assert_allclose(left.data, W.data[at], atol=1e-6)


def test_pals_finds_a_density_by_the_validation_loss(build):
    topology = {"name": "pals", "update_every": 4, "density": 0.1}
    blobs = (Blobs(330, 20, 4, 1), Blobs(90, 20, 4, 2), 4)
    data = prepare(blobs, validation=0.2)
    work = small_work(build, topology=topology, backend="scipy-csr", data=data)
    result = train(work)
    assert result.measures["initial_connections"] == 2120
    assert result.measures["connections"] < 0.9 * 2120
    with pytest.raises(Unsupported, match=r"set trial\.validation above 0"):
        train(small_work(build, topology=topology, backend="scipy-csr"))


def test_set_is_drop_per_sign_and_growth_at_random(build):
    """What SET was before it was a sentence of parts, written out: the same bits."""
    W = random_matrix((30, 40), 300, np.random.default_rng(0))
    step = TrainingStep(epoch=2, epochs=4, step=22, steps_per_epoch=11, epoch_ended=True)
    network = NetworkView.of([W, W], UniformWeights(), step, seed=5)
    for index, update in enumerate(build("topology", "set").layer_updates(network)):
        rng = generator(5, "rewire", 22, index)
        keep = weakest_per_sign_dropped(W.data, 0.3)
        count = int((~keep).sum())
        rows, columns = free_positions(W.pattern, keep, count, rng)
        values = UniformWeights().draw(W.pattern, rows.size, rng)
        assert np.array_equal(update.change.keep, keep)
        assert np.array_equal(update.change.rows, rows)
        assert np.array_equal(update.change.columns, columns)
        assert np.array_equal(update.change.values, values)


@pytest.mark.parametrize("activation", ["all-relu", "srelu", "tanh"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_observed_is_what_the_step_would_compute(build, backend, activation):
    model = {"name": "mlp", "hidden": [40, 30], "activation": activation, "dropout": 0.3}
    work = small_work(build, backend=backend, model=model)
    network = build_network(work)
    for t, rows in enumerate(list(Batches(work, network).turns(1, 0))[:3], 1):
        X, y = work.data.train.batch(rows)
        before = [value.copy() for value in network.values()]
        loss, signals = network.observe(X, y, t)
        for value, untouched in zip(network.values(), before, strict=True):
            assert np.array_equal(value, untouched)
        assert loss == pytest.approx(network.compute_gradients(X, y, t), abs=1e-6)
        for layer, seen in zip(network.layers, signals, strict=True):
            W = layer.weights()
            expected, Db = layer.gradients()
            found = np.einsum("pn,pn->p", seen.DZ[W.rows], seen.X[W.indices])
            np.testing.assert_allclose(found, expected, atol=1e-5)
            np.testing.assert_allclose(seen.DZ.sum(axis=1), Db, atol=1e-5)
        network.step(0.05, t)


class TestRigL:
    def test_an_update_takes_the_place_of_a_step(self, build):
        trained: list[int] = []
        work = small_work(
            build,
            topology=METHODS["rigl"],
            epochs=4,
            progress=lambda epoch, step, loss: trained.append(step),
        )
        result = train(work)
        assert trained == [t for t in range(1, 45) if t not in (11, 21, 31)]
        assert len(result.epochs) == 4

    def test_the_first_batch_of_an_epoch_may_be_the_one_that_is_looked_at(self, build):
        """11 steps an epoch: the update behind step 11 looks at step 12."""
        trained: list[int] = []
        work = small_work(
            build,
            topology={**METHODS["rigl"], "update_every": 11},
            epochs=3,
            progress=lambda epoch, step, loss: trained.append(step),
        )
        train(work)
        assert trained == [t for t in range(1, 34) if t not in (12, 23)]

    def test_it_grows_where_the_dense_gradient_is_largest(self, build):
        work = small_work(build, topology=METHODS["rigl"])
        network = build_network(work)
        rows = next(Batches(work, network).turns(1, 0))
        _, batch = network.observe(*work.data.train.batch(rows), 11)
        layers = [layer.weights() for layer in network.layers]
        step = TrainingStep(epoch=1, epochs=4, step=10, steps_per_epoch=11, epoch_ended=False)
        view = NetworkView.of(layers, UniformWeights(), step, batch=batch)
        for W, seen, update in zip(layers, batch, work.topology.layer_updates(view), strict=True):
            count = int(0.15 * (1 + np.cos(np.pi * 10 / 33)) * W.nnz)
            weakest = np.argsort(np.abs(W.data), kind="stable")[:count]
            gradient = np.abs(seen.DZ @ seen.X.T)
            kept = np.delete(np.arange(W.nnz), weakest)
            gradient[W.rows[kept], W.indices[kept]] = -1
            best = np.argsort(-gradient, axis=None, kind="stable")[:count]
            after = W.apply(update.change)
            now = set(after.pattern.keys().tolist())
            assert now == set(W.pattern.keys()[kept].tolist()) | set(best.tolist())
            assert not update.change.values.any()
            again = np.isin(W.pattern.keys(), best) & ~np.isin(np.arange(W.nnz), kept)
            assert update.change.keep[again].all()  # grown again at once: it keeps its weight

    def test_candidates_without_end_make_gse_the_same(self, build):
        ends = []
        for grow in ("gradient", {"name": "gse", "gamma": 1000.0}):
            work = small_work(build, topology={**METHODS["rigl"], "grow": grow}, epochs=3)
            ends.append(train(work).network.layers)
        for one, other in zip(*ends, strict=True):
            assert np.array_equal(one.weights().pattern.keys(), other.weights().pattern.keys())


class TestSnfs:
    def test_connections_move_between_layers(self, build):
        result = train(small_work(build, topology=METHODS["snfs"], epochs=4))
        counts = [epoch.connections for epoch in result.epochs]
        assert counts[0] != counts[-1]
        assert sum(counts[0]) == sum(counts[-1])

    def test_candidates_smooth_the_gradient_of_every_step(self, build):
        """m = beta m + (1 - beta) g over two steps, by hand."""
        grow = build("grow", {"name": "momentum", "beta": 0.5})
        W = random_matrix((5, 6), 8, np.random.default_rng(0))
        view = NetworkView.of([W], UniformWeights(), TrainingStep(1, 1, 1, 9, False))
        layer, rng = view.layer(0), np.random.default_rng(1)
        expected = np.zeros((5, 6), dtype=np.float32)
        for _ in range(2):
            X, DZ = (rng.standard_normal((n, 4)).astype(np.float32) for n in (6, 5))
            grow.after_backward(layer, X, DZ)
            expected = 0.5 * expected + 0.5 * (DZ @ X.T)
        rows, columns, smoothed = layer.state.positions["candidate momentum", 0]
        assert rows.size == 8
        np.testing.assert_allclose(smoothed, expected[rows, columns], rtol=1e-5)

    def test_what_it_remembers_is_recorded(self, build):
        """Two indices and a smoothed gradient of a candidate for each connection, of which the full
        output layer has none; nothing of a method without state."""
        result = train(small_work(build, topology=METHODS["snfs"], epochs=2, backend="scipy-csr"))
        first = sum(result.epochs[0].connections[:2])
        assert result.measures["method_bytes"] == 12 * first
        plain = train(small_work(build, topology="set", epochs=1, backend="scipy-csr"))
        assert "method_bytes" not in plain.measures

    def test_what_it_looks_at_in_every_step_is_charged_to_the_topology(self, build):
        """No update takes place, so all of it is for the candidates."""
        topology = {**METHODS["snfs"], "update_every": 1000}
        result = train(small_work(build, topology=topology, epochs=2))
        assert all(epoch.topology_seconds > 0 for epoch in result.epochs)
        plain = train(small_work(build, topology="static", epochs=2))
        assert all(epoch.topology_seconds == 0 for epoch in plain.epochs)

    def test_an_optimizer_without_momentum_is_refused_before_training(self, build):
        plain = {"name": "sgd", "learning_rate": 0.05}
        work = small_work(build, topology=METHODS["snfs"], optimizer=plain)
        with pytest.raises(Unsupported, match=r"momentum.*set optimizer\.momentum above 0"):
            train(work)

    def test_adam_has_momentum(self, build):
        adam = {"name": "adam", "learning_rate": 0.003}
        result = train(small_work(build, topology=METHODS["snfs"], optimizer=adam))
        assert sum(sum(epoch.grown) for epoch in result.epochs) > 0

    def test_bfloat16_activations_are_refused_before_training(self, build):
        narrow = {"name": "numba-csr", "activations": "bfloat16"}
        work = small_work(build, topology=METHODS["snfs"], backend=narrow)
        with pytest.raises(Unsupported, match="activations = 'float32'"):
            train(work)


def test_a_trainer_without_samples_is_refused_before_training(build):
    work = small_work(build, topology=METHODS["rigl"])
    network = build_network(work)

    class Steps:
        def __init__(self) -> None:
            self.timers, self.per_epoch = Batches(work, network).timers, 11

    with pytest.raises(Unsupported, match="RigL looks at batch, and this trainer updates"):
        Training(work, network, Steps())  # type: ignore[arg-type]


def test_layers_that_compete_need_scores(build):
    work = small_work(build, topology={"name": "dynamic", "redistribution": "global"})
    with pytest.raises(Unsupported, match="RandomGrow gives none"):
        train(work)


def test_only_the_layers_that_take_part_change(build):
    result = train(small_work(build, topology=METHODS["linear"], epochs=4))
    grown = np.array([epoch.grown for epoch in result.epochs]).sum(axis=0)
    assert grown[0] > 0
    assert grown[1] > 0
    assert grown[2] == 0


def test_pruned_neurons_stay_closed_to_growth_by_gradient(build):
    pruning = {"name": "importance", "start": 1, "every": 1, "percentile": 30}
    topology = {**METHODS["rigl"], "update_every": 5}
    result = train(small_work(build, topology=topology, pruning=pruning, epochs=4))
    degrees = result.network.layers[0].weights().pattern.in_degrees()
    assert (degrees == 0).sum() >= 0.3 * 40
    after = result.network.layers[1].weights().pattern
    assert not (degrees == 0)[after.indices].any()
