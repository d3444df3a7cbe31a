"""What processes check together: `mpiexec -n 3 python parallel_ranks.py SCENARIO ...`.

The master holds the training against its reference and writes a line per scenario that passed.
"""

from __future__ import annotations

import math
import sys
import traceback
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from small import small_work
from sparsebench_parallel.mpi.plan import Plan
from sparsebench_parallel.partition import stream_of

from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.loop import Training, train
from sparsebench.core.training.steps import Batches, Timers
from sparsebench.discovery import load_plugins

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.Get_rank(), COMM.Get_size()
WORKERS = SIZE - 1
PLUGINS = load_plugins()

SCENARIOS: dict[str, Any] = {}


class Team:
    rank, size, comm = RANK, SIZE, COMM


def build(kind: str, given: Any) -> Any:
    return PLUGINS.build(kind, PLUGINS.validate(kind, given, kind))


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def parallel(name, options=None, **given):
    """Losses of each step at the master, and the result there; elsewhere ([], None)."""
    losses = []
    if RANK == 0:
        given["progress"] = lambda epoch, step, loss: losses.append(loss)
    trainer = build("trainer", {"name": name, "workers": WORKERS, **(options or {})})
    result = trainer.run(small_work(build, team=Team(), **given))
    assert (result is None) == (RANK != 0)
    return losses, result


def alone(**given):
    losses = []
    work = small_work(build, progress=lambda epoch, step, loss: losses.append(loss), **given)
    return losses, train(work)


def close(ours, theirs, relative=2e-4):
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    apart = np.abs(np.array(ours) - np.array(theirs)) / np.abs(theirs)
    assert apart.max() <= relative, f"step {apart.argmax() + 1}: {apart.max():.1e} apart"


def same_model(ours, theirs, atol=2e-4):
    for number, (a, b) in enumerate(zip(ours.network.layers, theirs.network.layers, strict=True)):
        W, V = a.weights(), b.weights()
        assert np.array_equal(W.pattern.keys(), V.pattern.keys()), f"connections of {number}"
        assert np.allclose(W.data, V.data, atol=atol), f"weights of layer {number}"
        assert np.allclose(a.bias(), b.bias(), atol=atol), f"bias of layer {number}"
    theirs_trained = theirs.network.parameters()
    for name, value in ours.network.parameters().items():
        assert np.allclose(value, theirs_trained[name], atol=atol), name


PLAIN = {"scaling": False}


def options_of(name, **given):
    return {**(PLAIN if name == "wassp" else {}), **given}


VARIANTS = (
    {"backend": "numba-csr"},
    {
        "backend": "scipy-csr",
        "model": {"name": "mlp", "hidden": [20, 12], "activation": "srelu"},
        "topology": {"name": "set", "epsilon": 6, "update_every": 5},
        "pruning": {"name": "importance", "start": 1, "every": 1, "percentile": 5},
        "optimizer": {"name": "adam", "learning_rate": 0.003},
    },
    {
        "backend": "dense-mask",
        "pruning": {"name": "importance", "start": 1, "every": 2, "percentile": 5},
        "optimizer": {
            "name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "schedule": "cosine",
        },
    },
)  # fmt: skip


@scenario
def one_worker_is_sequential():
    """Every step, dropout and topology included, with and without a phase two."""
    for variant in VARIANTS:
        for name in ("wassp", "wasap"):
            for local in (0.0, 0.5):
                losses, ours = parallel(name, options_of(name, local=local), **variant)
                if RANK == 0:
                    expected, theirs = alone(**variant)
                    close(losses, expected[: len(losses)])
                    assert len(losses) == len(expected) * (1 - local)
                    same_model(ours, theirs)
                    for a, b in zip(ours.epochs, theirs.epochs, strict=True):
                        assert math.isclose(a.train_loss, b.train_loss, rel_tol=1e-3)
                        for field in ("connections", "dropped", "grown", "pruned"):
                            assert getattr(a, field) == getattr(b, field), field
                        assert math.isclose(a.learning_rate, b.learning_rate)
                    last = (ours.epochs[-1].test_accuracy, theirs.epochs[-1].test_accuracy)
                    assert math.isclose(*last, abs_tol=0.012)


class Union:
    """The workers' batches of a turn as one."""

    def __init__(self, plan, network):
        self.timers = Timers()
        self.network = network
        self.parts = [
            Batches(plan.part(k), network, stream_of(k)) for k in range(plan.options.workers)
        ]

    @property
    def per_epoch(self):
        return max(part.per_epoch for part in self.parts)

    def turns(self, epoch, start):
        walks = [list(part.turns(epoch, 0)) for part in self.parts]
        for turn in range(self.per_epoch):
            yield [walk[turn] if turn < len(walk) else None for walk in walks]

    def take(self, turn, rate, t):
        pairs = zip(self.parts, turn, strict=True)
        batches = [part.batch(rows) for part, rows in pairs if rows is not None]
        X = np.ascontiguousarray(np.concatenate([X for X, _ in batches], axis=1))
        y = np.concatenate([y for _, y in batches])
        with self.timers("train"):
            return self.network.train_step(X, y, rate, t), y.size


@scenario
def synchronous_is_sequential_on_the_union():
    given = {
        "model": {"name": "mlp", "hidden": [40, 30], "activation": "all-relu", "dropout": 0.0},
        "topology": {"name": "set", "epsilon": 6, "update_every": 7},
        "batch_size": 24,
    }
    losses, ours = parallel("wassp", PLAIN, **given)
    if RANK == 0:
        expected = []
        work = small_work(build, progress=lambda e, s, loss: expected.append(loss), **given)
        network = build_network(work)
        plan = Plan.of(build("trainer", {"name": "wassp", "workers": WORKERS}).options(), work)
        sizes = {plan.rows(k).size for k in range(WORKERS)}
        assert len(sizes) == (2 if 330 % WORKERS else 1)
        training = Training(work, network, Union(plan, network))
        training.run(1, work.epochs)
        close(losses, expected)
        same_model(ours, training.result())


@scenario
def synchronous_repeats_itself():
    """With dropout, scaling, warm-up, topology and phase two; another seed is another run."""
    runs = [
        parallel("wassp", {"local": 0.3, "warm_epochs": 1}, seed=seed, epochs=3)
        for seed in (0, 0, 1)
    ]
    if RANK == 0:
        (first, a), (again, b), (other, _) = runs
        assert first == again
        assert first != other
        same_model(a, b, atol=0.0)
        assert a.measures["bytes_sent"] == b.measures["bytes_sent"]
        rates = [epoch.learning_rate for epoch in a.epochs]
        assert np.allclose(rates, [0.05, 0.05 * WORKERS, 0.05])


@scenario
def asynchronous_takes_every_batch_once():
    work = {"epochs": 4, "topology": {"name": "set", "epsilon": 6, "update_every": 3}}
    losses, result = parallel("wasap", {"local": 0.25}, **work)
    if RANK == 0:
        sizes = [330 * (k + 1) // WORKERS - 330 * k // WORKERS for k in range(WORKERS)]
        assert len(losses) == 3 * sum(-(-size // 32) for size in sizes)
        found = result.measures
        assert 0 <= found["staleness_mean"] <= found["staleness_max"]
        if WORKERS > 1:
            assert found["staleness_max"] >= 1
            assert 0 < found["retained_share"] < 1
        assert found["topology_bytes_sent"] > 0
        assert found["union_connections"] >= found["connections"]
        check_measures(found)
        check_records(result, 4)


def check_measures(found):
    for name in (
        "bytes_sent", "bytes_sent_per_step", "worker_step_seconds", "master_step_seconds",
        "link_latency_seconds",
    ):  # fmt: skip
        assert found[name] > 0, name
    rate = found["link_bytes_per_second"]
    assert rate is None or 1e5 < rate < 1e13
    for name in ("master_busy_share", "worker_wait_share"):
        assert 0 <= found[name] <= 1, name


def check_records(result, epochs):
    assert [epoch.epoch for epoch in result.epochs] == list(range(1, epochs + 1))
    assert all(math.isfinite(epoch.train_loss) for epoch in result.epochs)
    assert result.epochs[-1].test_accuracy is not None
    for layer in result.network.layers:
        layer.weights().validate()


@scenario
def only_values_travel_while_the_topology_stands():
    static = {"name": "static", "epsilon": 6}
    for name in ("wassp", "wasap"):
        losses, result = parallel(name, options_of(name, local=0.0), topology=static)
        if RANK == 0:
            network = result.network
            values = 4 * sum(array.size for array in network.values())
            each = 2 * values + 48 + 40
            per_step = result.measures["bytes_sent_per_step"]
            assert per_step == (each * WORKERS if name == "wassp" else each)
            assert result.measures["topology_bytes_sent"] == 0
            assert result.measures["phase_two_seconds"] is None
            steps = result.measures["bytes_sent"]
            assert steps <= len(losses) * per_step


@scenario
def as_published_runs_a_pass_more():
    for name in ("wassp", "wasap"):
        model = {"name": "mlp", "hidden": [20], "activation": "srelu"}
        options = {"as_published": True}
        losses, result = parallel(name, options, epochs=4, model=model, batch_size=16)
        if RANK == 0:
            check_records(result, 5)
            batches = 330 // (16 * WORKERS)
            assert len(losses) == 3 * batches * (WORKERS if name == "wasap" else 1)
            if name == "wassp":
                rates = [epoch.learning_rate for epoch in result.epochs[:3]]
                warm = [0.01 * ((WORKERS - 1) * e / 5 + 1) for e in range(3)]
                assert np.allclose(rates, warm)
            assert all(e.test_accuracy is None for e in result.epochs[3:-1])


@scenario
def what_was_overwritten_is_the_masters():
    """Undone after every batch, phase two gives what phase one had."""
    given = {"topology": {"name": "set", "epsilon": 6, "zeta": 0.3}, "batch_size": 330}
    _, ours = parallel("wasap", {"local": 0.5, "overwritten": True}, epochs=2, **given)
    if RANK == 0:
        _, theirs = alone(epochs=1, **given)
        W, V = (result.network.layers[0].weights() for result in (ours, theirs))
        _, mine, its = np.intersect1d(W.pattern.keys(), V.pattern.keys(), return_indices=True)
        # the topology moved once, at the end of the first epoch of two
        assert 0.7 <= mine.size / W.nnz < 0.9
        # some that were dropped have grown again, with another value
        assert np.isclose(W.data[mine], V.data[its], atol=1e-6).mean() > 0.85


@scenario
def a_loss_that_is_not_finite_ends_all():
    steep = {"name": "sgd", "learning_rate": 1e18, "momentum": 0.9}
    for name in ("wassp", "wasap"):
        for local in (0.0, 0.5, 0.9):
            options = options_of(name, local=local)
            with np.errstate(all="ignore"):
                _, result = parallel(name, options, optimizer=steep, epochs=4, batch_size=64)
            if RANK == 0:
                assert result.diverged
                assert not math.isfinite(result.epochs[-1].train_loss)


@scenario
def a_loss_that_is_not_finite_when_alone_ends_all():
    """The rate rises to infinity in the last two epochs, which each worker trains alone."""
    rate = {"name": "step", "epochs": [2], "gamma": 1e30}
    steep = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "schedule": rate}
    with np.errstate(all="ignore"):
        _, result = parallel("wasap", {"local": 0.5}, optimizer=steep, epochs=4)
    if RANK == 0:
        assert result.diverged
        assert len(result.epochs) == 3
        assert not math.isfinite(result.epochs[-1].train_loss)
        assert all(np.isfinite(layer.weights().data).all() for layer in result.network.layers)


@scenario
def what_cannot_be_is_refused():
    from sparsebench.errors import Unsupported

    work = small_work(build, team=Team())
    here = {"workers": WORKERS}
    large = replace(work, batch_size=999)
    for trainer, its, reason in (
        ({"name": "wasap", "workers": WORKERS + 1}, work, f"needs {WORKERS + 2} processes"),
        ({"name": "wassp", **here}, replace(work, keeper=object()), "keeps no checkpoints"),
        ({"name": "wasap", **here, "remainder": "drop"}, large, "whole batch of 999"),
    ):
        with pytest.raises(Unsupported, match=reason):
            build("trainer", trainer).run(its)


def main(names):
    for name in names:
        try:
            SCENARIOS[name]()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            COMM.Abort(1)
        COMM.Barrier()
        if RANK == 0:
            print("passed", name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
