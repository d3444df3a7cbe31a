"""Observers in the training loop: they change nothing, and a checkpoint keeps their state."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from small import small_work
from test_resuming import arrays_of, interrupted, untimed

from sparsebench.core.metric import Metric
from sparsebench.core.observer import Observation, Observer
from sparsebench.core.training import loop
from sparsebench.core.training.loop import train
from sparsebench.core.training.observers import plain_values
from sparsebench.core.training.steps import Timers

BUILT_IN = ("degrees", "dead-neurons", "input-connections", "itop")
STEPS_PER_EPOCH = 11


@dataclass(frozen=True)
class Counter(Observer):
    """Counts its calls, from the start of the training."""

    every: int | None = 4
    metrics: ClassVar = (
        Metric("looks", kinds=("trial", "epoch")),
        Metric("changes", kinds=("layer",)),
        Metric("last_step", kinds=("epoch",)),
    )

    def start(self, network):
        return Counts(network)


class Counts(Observation):
    def __init__(self, network):
        super().__init__(network)
        self.looks, self.last_step = 0, None
        self.changes = np.zeros(len(network.layers), dtype=np.int64)

    def on_change(self, index, change):
        assert self.network.layers[index].nnz == np.count_nonzero(change.keep) + change.grown
        self.changes[index] += 1

    def look(self, step):
        self.looks, self.last_step = self.looks + 1, step.step

    def values(self):
        return {"looks": self.looks, "changes": self.changes, "last_step": self.last_step}

    def saved(self):
        yield "numbers", np.array([self.looks, self.last_step or 0])
        yield "changes", self.changes

    def restore(self, saved):
        self.looks, self.last_step = saved["numbers"].tolist()
        self.changes = saved["changes"]


def observers(build):
    return {"counter": Counter(), **{name: build("observer", name) for name in BUILT_IN}}


def observed(result):
    return [(record.metrics, record.layer_metrics) for record in result.epochs]


def work(build, **given):
    return small_work(build, backend="scipy-csr", observers=observers(build), **given)


def test_each_looks_when_it_said_and_sees_every_change(build):
    """11 steps an epoch: the steps 4 and 8, then 12, 16, 20, then 24, 28, 32. SET changes each
    of the three layers at the end of each epoch but the last."""
    result = train(work(build, epochs=3))
    metrics = [record.metrics for record in result.epochs]
    assert [found["looks"] for found in metrics] == [2, 5, 8]
    assert [found["last_step"] for found in metrics] == [8, 20, 32]
    changes = [record.layer_metrics["changes"] for record in result.epochs]
    assert changes == [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
    rates = [found["itop_rate"] for found in metrics]
    assert rates[0] < rates[1] == rates[2] == result.measures["itop_rate"]
    assert result.measures["looks"] == 8


def test_what_was_ever_tried_is_at_least_what_was_grown_anew(build):
    """After one update: the start's connections, and at most the grown ones beside."""
    result = train(work(build, epochs=2))
    first = result.epochs[0]
    start, possible = result.measures["initial_connections"], result.measures["dense_connections"]
    tried = first.metrics["itop_rate"] * possible
    assert start < round(tried, 6) <= start + sum(first.grown)


def test_training_is_the_same_with_and_without(build):
    plain = train(small_work(build, backend="scipy-csr", epochs=3))
    watched = train(work(build, epochs=3))
    assert untimed(plain) == untimed(watched)
    a, b = arrays_of(plain), arrays_of(watched)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert observed(plain) == [({}, {})] * 3
    assert all(record.observe_seconds == 0 for record in plain.epochs)
    assert all(record.observe_seconds > 0 for record in watched.epochs)
    total = sum(record.observe_seconds for record in watched.epochs)
    assert watched.measures["observe_seconds"] == total


@pytest.mark.parametrize("kept", [5, 11, 15, 22])
def test_going_on_from_a_checkpoint_gives_the_same_numbers(build, tmp_path, kept, monkeypatch):
    monkeypatch.setattr(loop, "MOST_STEPS", 1)
    given = {"backend": "scipy-csr", "observers": observers(build), "epochs": 3}
    undisturbed = train(small_work(build, **given))
    went_on = interrupted(build, tmp_path / "c.npz", kept, kept + 3, **given)
    assert observed(went_on) == observed(undisturbed)
    assert untimed(went_on) == untimed(undisturbed)


def test_inner_seconds_are_not_the_outer_names(monkeypatch):
    now = iter([0.0, 1.0, 4.0, 4.5, 6.5, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    timers = Timers()
    with timers("topology"):
        with timers("observe"):
            pass
        with timers("observe"):
            pass
    assert timers.take() == {"observe": 5.0, "topology": 5.0}


DECLARED = (
    Metric("one", kinds=("trial", "epoch")),
    Metric("bins", kinds=("epoch",)),
    Metric("each", kinds=("layer",)),
)


def test_values_become_plain_numbers_and_what_was_not_given_is_unknown():
    given = {"one": np.float32(0.5), "each": [np.arange(3), None]}
    assert plain_values("o", DECLARED, given, layers=2) == (
        {"one": 0.5, "bins": None},
        {"each": [[0, 1, 2], None]},
    )
    assert plain_values("o", DECLARED, {}, layers=2)[1] == {"each": [None, None]}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"two": 1}, "observer 'o' gives 'two', which it does not declare"),
        ({"bins": np.zeros(65)}, "found 65 numbers; an array has at most 64"),
        ({"one": [1.0, 2.0]}, "a metric of a trial is one number, found an array"),
        ({"one": "high"}, "expected a number or a flat array, found 'high'"),
        ({"bins": np.zeros((2, 2))}, "expected a number or a flat array"),
        ({"each": [1, 2, 3]}, "each: expected one per layer, 2, found 3"),
    ],
)
def test_a_value_of_another_form_is_named(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        plain_values("o", DECLARED, given, layers=2)
