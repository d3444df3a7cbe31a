"""The training loop end to end on small networks."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from small import Blobs, prepare, small_work

from sparsebench.core.data.samples import Parts
from sparsebench.core.metric import STEP_PARTS
from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.training import loop
from sparsebench.core.training.loop import train
from sparsebench.testing import check_trajectory

BACKENDS = ("numba-csr", "scipy-csr", "dense-mask")


def losses_of(build, backend, **given):
    losses = []
    work = small_work(
        build, backend=backend, progress=lambda epoch, step, loss: losses.append(loss), **given
    )
    return losses, train(work)


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("activation", ["all-relu", "relu", "srelu", "tanh"])
def test_backends_walk_the_same_trajectory(build, optimizer, activation):
    """50 steps, an update of the topology forced every 10, dropout and all."""
    rules = {
        "sgd": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.001},
        "nesterov": {
            "name": "sgd",
            "learning_rate": 0.03,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 1e-4,
            "decay": "decoupled-unscaled",
        },
        "adam": {"name": "adam", "learning_rate": 0.003},
    }
    losses, ends = {}, {}
    for backend in BACKENDS:
        losses[backend], result = losses_of(
            build,
            backend,
            model={"name": "mlp", "hidden": [40, 30], "activation": activation, "dropout": 0.2},
            topology={"name": "set", "epsilon": 6, "update_every": 10},
            optimizer=rules[optimizer],
            epochs=5,
        )
        ends[backend] = result
        assert len(losses[backend]) >= 50
        assert sum(result.epochs[0].dropped) > 0
    check_trajectory(losses)
    patterns = [
        [layer.weights().pattern.keys() for layer in ends[backend].network.layers]
        for backend in BACKENDS
    ]
    for other in patterns[1:]:
        same = [np.isin(a, b).mean() for a, b in zip(patterns[0], other, strict=True)]
        assert min(same) > 0.97  # rounding may flip a drop or two


@pytest.mark.parametrize("backend", BACKENDS)
def test_same_seed_same_run_and_another_seed_another(build, backend):
    first, a = losses_of(build, backend)
    again, b = losses_of(build, backend)
    other, _ = losses_of(build, backend, seed=1)
    assert first == again
    assert a.measures["test_accuracy"] == b.measures["test_accuracy"]
    assert first != other


def test_training_learns(build):
    static = {"name": "static", "epsilon": 6}
    _, result = losses_of(build, "numba-csr", epochs=12, topology=static)
    assert result.measures["train_loss"] < 0.7
    assert result.measures["test_accuracy"] > 0.7


def test_connections_are_kept_and_counted(build):
    _, result = losses_of(build, "numba-csr", epochs=4)
    # floor(6 (20 + 40)), floor(6 (40 + 30)), and the output is full: 4 x 30 < 6 (30 + 4)
    assert result.epochs[0].connections == [360, 420, 120]
    assert result.epochs[-1].connections == [360, 420, 120]
    for epoch in result.epochs[:-1]:
        assert epoch.dropped == epoch.grown
        assert min(epoch.dropped) > 0
    assert sum(result.epochs[-1].dropped) == 0
    measures = result.measures
    assert measures["neurons"] == 20 + 40 + 30 + 4
    assert measures["connections"] == measures["initial_connections"] == 900
    assert measures["dense_connections"] == 20 * 40 + 40 * 30 + 30 * 4
    for layer in result.network.layers:
        layer.weights().validate()


def test_a_static_topology_stays(build):
    before = small_work(build, topology={"name": "static", "epsilon": 6})
    result = train(before)
    assert sum(sum(epoch.dropped) for epoch in result.epochs) == 0


def test_the_last_smaller_batch_is_used(build):
    """330 samples in batches of 32: 11 steps, and every sample counts in evaluation."""
    losses, result = losses_of(build, "numba-csr", epochs=1)
    assert len(losses) == 11
    accuracy = result.measures["test_accuracy"]
    assert accuracy * 90 == pytest.approx(round(accuracy * 90))


def test_divergence_is_seen_and_stops_the_run(build):
    work = small_work(
        build,
        optimizer={"name": "sgd", "learning_rate": 1e30},
        model={"name": "mlp", "hidden": [20]},
        epochs=5,
    )
    with np.errstate(all="ignore"):
        result = train(work)
    assert result.diverged
    assert len(result.epochs) < 5
    assert not math.isfinite(result.epochs[-1].train_loss)
    assert result.measures["test_accuracy"] is None


def test_validation_selects_without_looking_at_the_test(build):
    data = prepare((Blobs(260, 20, 4, 1), Blobs(90, 20, 4, 2), 4), validation=0.23)
    result = train(small_work(build, data=data, epochs=6))
    best = max(result.epochs, key=lambda epoch: epoch.validation_accuracy)
    assert result.measures["selected_test_accuracy"] == best.test_accuracy
    assert result.measures["best_test_accuracy"] == max(e.test_accuracy for e in result.epochs)


def test_an_epoch_is_one_line_of_json(build):
    epochs = []
    train(small_work(build, report=epochs.append, epochs=2))
    lines = [json.loads(json.dumps(epoch.to_json())) for epoch in epochs]
    assert [line["epoch"] for line in lines] == [1, 2]
    fields = {field.name for field in dataclasses.fields(epochs[0])}
    assert set(lines[0]) == fields - {"layer_metrics"}
    assert set(lines[0]["metrics"]) == {f"{part}_seconds" for part in STEP_PARTS}


PRUNE = {"name": "importance", "start": 2, "every": 2, "percentile": 20}


class TestImportancePruning:
    def run(self, build, topology="set", **more):
        work = small_work(
            build,
            topology={"name": topology, "epsilon": 6},
            pruning={**PRUNE, **more},
            epochs=7,
        )
        return train(work)

    def removed(self, result, number):
        return result.network.layers[number].weights().pattern.in_degrees() == 0

    def test_neurons_go_for_good_with_what_leaves_them(self, build):
        result = self.run(build)
        pruned = [epoch.epoch for epoch in result.epochs if sum(epoch.pruned)]
        assert pruned == [2, 4, 6]
        for number in (0, 1):
            gone = self.removed(result, number)
            assert gone.sum() >= 0.3 * gone.size
            after = result.network.layers[number + 1].weights().pattern
            assert not gone[after.indices].any()
        totals = [sum(epoch.connections) for epoch in result.epochs]
        assert totals == sorted(totals, reverse=True)
        assert totals[-1] < totals[0]

    def test_set_refills_only_what_set_dropped(self, build):
        result = self.run(build)
        for before, after in zip(result.epochs, result.epochs[1:]):
            change = sum(after.connections) - sum(before.connections)
            assert change == sum(after.grown) - sum(after.dropped) - sum(after.pruned)
            assert sum(after.grown) == sum(after.dropped)

    def test_as_released(self, build):
        result = self.run(build, regrow=True, outgoing=False, count_dead=True)
        assert sum(sum(epoch.pruned) for epoch in result.epochs) > 0
        last = result.network.layers[2].weights()
        assert last.nnz == 120  # outgoing connections stay

    def test_on_a_fixed_topology(self, build):
        result = self.run(build, topology="static")
        assert sum(sum(epoch.grown) for epoch in result.epochs) == 0
        assert self.removed(result, 0).any()

    def test_backends_agree(self, build):
        ends = {}
        for backend in BACKENDS:
            work = small_work(build, backend=backend, pruning=PRUNE, epochs=5)
            ends[backend] = train(work)
        counts = [[e.connections for e in result.epochs] for result in ends.values()]
        assert counts[0] == counts[1] == counts[2]


def counted(epoch):
    """The metrics of an epoch without its times."""
    return {name: value for name, value in epoch.metrics.items() if not name.endswith("_seconds")}


@pytest.mark.parametrize("topology", ["set", {"name": "rigl", "update_every": 3}])
def test_steps_in_one_call_are_the_single_ones(build, topology, monkeypatch):
    """As many steps together as nothing happens between: the same bits, the same updates."""
    blobs = Blobs(330, 20, 4, 1)
    data = prepare(Parts(blobs.X, blobs.targets, blobs.X[:90], blobs.targets[:90]))
    given = {
        "data": data,
        "topology": topology,
        "epochs": 3,
        "observers": {"itop": build("observer", "itop")},
    }
    calls = []
    steps = LayeredNetwork.train_steps
    monkeypatch.setattr(
        LayeredNetwork,
        "train_steps",
        lambda network, *args: calls.append(len(args[-2])) or steps(network, *args),
    )
    together = train(small_work(build, **given))
    assert max(calls) > 1
    monkeypatch.setattr(loop, "MOST_STEPS", 1)
    single = train(small_work(build, **given))
    for a, b in zip(together.network.values(), single.network.values(), strict=True):
        assert a.tobytes() == b.tobytes()
    for one, other in zip(together.epochs, single.epochs, strict=True):
        assert one.train_loss == other.train_loss
        assert counted(one) == counted(other)
        assert (one.dropped, one.grown) == (other.dropped, other.grown)
    assert together.network.step_way == "compiled"
