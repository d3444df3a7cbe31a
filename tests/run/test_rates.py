"""Seconds from layers that were timed."""

from __future__ import annotations

import pytest
from planned_trials import make_trial

from sparsebench.core.job import Point
from sparsebench.registry import Plugins
from sparsebench.run.cost_prediction import Rates, epoch_seconds, timing_jobs
from sparsebench.run.trial_sizes import declared_sizes


def rates(*seconds: tuple[int, float], update: float = 0.0) -> Rates:
    points = [Point(w, w, s, 2 * s, s, 0.0, 0.0, update) for w, s in seconds]
    return Rates(32, True, tuple(points))


def test_between_points_a_power_law_and_beyond_them_in_proportion() -> None:
    known = rates((100, 1.0), (10_000, 100.0))
    assert known.at(1000, "forward") == pytest.approx(10.0)
    assert known.at(20_000, "forward") == pytest.approx(200.0)
    assert known.at(10, "forward") == pytest.approx(0.1)
    flat = rates((100, 1.0), (10_000, 1.0))
    assert flat.at(1, "forward") == pytest.approx(1.0)
    assert flat.at(1_000_000, "forward") == pytest.approx(1.0)
    assert rates((100, 1.0)).at(1000, "forward") == pytest.approx(10.0)
    assert rates((100, 1.0)).at(10, "forward") == pytest.approx(0.1)


def test_an_epoch_in_numbers(plugins: Plugins) -> None:
    """Layers of 280, 280 and 90 connections (30 -> 40 -> 30 -> 3), 40 samples in batches of 32.

    A millisecond a connection: 280 (1 + 1) + (280 + 90)(1 + 2) = 1670 ms a step, 1.25 steps.
    """
    of = declared_sizes(make_trial(plugins, epochs=1), plugins)
    assert of is not None
    assert [layer.nnz for layer in of.layers] == [280, 280, 90]
    known = rates((1, 0.001), (1000, 1.0))
    assert epoch_seconds(of, known) == pytest.approx(1.25 * 1.670)


@pytest.mark.parametrize(("epochs", "share"), [(1, 0.0), (2, 1.0), (3, 1.0), (9, 1.0)])
def test_updates_count_over_the_epochs_that_have_one(
    plugins: Plugins, epochs: int, share: float
) -> None:
    of = declared_sizes(make_trial(plugins, epochs=epochs), plugins)
    assert of is not None
    still = epoch_seconds(of, rates((1, 0.001), (1000, 1.0)))
    moving = epoch_seconds(of, rates((1, 0.001), (1000, 1.0), update=2.0))
    assert moving - still == pytest.approx(share * 3 * 2.0, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [1, 1, 0]),
        ({"update_every": 2}, [2, 3, 2]),
        ({"update_every": 1}, [5, 5, 4]),
        ({"update_until": 5}, [1, 0, 0]),
        ({"update_every": 2, "update_until": 6}, [2, 1, 0]),
    ],
    ids=str,
)
def test_updates_are_those_that_are_due(plugins: Plugins, build, given, expected) -> None:
    """Three epochs of five steps, against the topology itself."""
    from sparsebench.core.methods.training_position import TrainingStep

    topology = build("topology", {"name": "set", "epsilon": 3, **given})
    assert [topology.updates(epoch, 3, 5) for epoch in (1, 2, 3)] == expected
    due = [
        sum(topology.due(TrainingStep(e, 3, 5 * (e - 1) + i, 5, i == 5)) for i in range(1, 6))
        for e in (1, 2, 3)
    ]
    assert due == expected


def test_one_process_for_trials_that_differ_in_size(plugins: Plugins) -> None:
    trials = [
        make_trial(plugins, batch_size=batch, model={"name": "mlp", "hidden": hidden})
        for batch in (8, 32)
        for hidden in ([3000], [20_000, 10])
    ]
    known = [(trial, of) for trial in trials if (of := declared_sizes(trial, plugins)) is not None]
    ((_, ladders),) = timing_jobs(known).values()
    assert [ladder.batch for ladder in ladders] == [8, 32]
    for ladder in ladders:
        assert list(ladder.works) == sorted(set(ladder.works))
    other = make_trial(plugins, backend="scipy-csr")
    of = declared_sizes(other, plugins)
    assert of is not None
    assert len(timing_jobs([*known, (other, of)])) == 2
