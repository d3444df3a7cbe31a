"""Shards: disjoint, complete, balanced, and the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.sharding import Shard, cost, deal, parse_shard, shard_of
from sparsebench.suite.expand import expand
from sparsebench.suite.suite import Suite

COSTS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=6),
    st.none() | st.integers(min_value=1, max_value=10**15),
    max_size=40,
)


@given(COSTS, st.integers(min_value=1, max_value=12))
def test_every_trial_is_in_one_shard(costs: dict[str, int | None], count: int) -> None:
    shards = deal(costs, count)
    assert len(shards) == count
    assert sorted(key for shard in shards for key in shard) == sorted(costs)


@given(COSTS, st.integers(min_value=1, max_value=12))
def test_no_shard_has_more_than_another_by_more_than_a_trial(
    costs: dict[str, int | None], count: int
) -> None:
    known = sorted(cost for cost in costs.values() if cost is not None)
    middle = known[(len(known) - 1) // 2] if known else 1
    all_known = {key: cost if cost is not None else middle for key, cost in costs.items()}
    shards = deal(costs, count)
    loads = [sum(all_known[key] for key in shard) for shard in shards]
    for load, shard in zip(loads, shards):
        if shard:
            assert load - min(all_known[key] for key in shard) <= min(loads)


@given(COSTS, st.integers(min_value=1, max_value=12), st.randoms(use_true_random=False))
def test_the_order_of_what_is_dealt_does_not_matter(
    costs: dict[str, int | None], count: int, random: object
) -> None:
    shuffled = list(costs.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert deal(dict(shuffled), count) == deal(costs, count)


def test_the_longest_come_first_and_ties_go_by_id() -> None:
    assert deal({"a": 5, "b": 4, "c": 3, "d": 3, "e": 3}, 2) == [{"a", "d"}, {"b", "c", "e"}]
    assert deal({"b": 1, "a": 1, "c": 1}, 2) == [{"a", "c"}, {"b"}]
    assert deal({"a": 10, "b": 2, "c": 2, "x": None}, 2) == [{"a"}, {"b", "c", "x"}]
    assert deal({"a": None, "b": None}, 3) == [{"a"}, {"b"}, set()]


@pytest.mark.parametrize(
    "text", ["0/8", "9/8", "x", "", "1/0", "-1/8", "1/2/3", "1.5/8", "1/99999"]
)
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(SparsebenchError, match=r"--shard .*: expected NUMBER/COUNT, such as 2/8"):
        parse_shard(text)


def test_a_shard_is_read() -> None:
    assert parse_shard("2/8") == Shard(2, 8)
    assert str(parse_shard(" 08/8")) == "8/8"


@pytest.fixture(scope="module")
def trials(plugins: Plugins) -> list[Trial]:
    suite = Suite(
        name="many",
        trial={"dataset": "wine", "model": {"hidden": [8]}, "epochs": 1, "threads": 1},
        grid={
            "model.hidden": [[8], [64], [256, 256]],
            "backend": ["scipy-csr", "dense-mask"],
            "topology": [{"name": "set", "epsilon": 2}],
            "seed": [0, 1, 2],
        },
    )
    return expand(suite, plugins, data_dir=Path("nowhere"))


def test_a_suite_in_three_shards(trials: list[Trial], plugins: Plugins) -> None:
    shards = [shard_of(Shard(number, 3), trials, plugins) for number in (1, 2, 3)]
    ids = [trial.id for shard in shards for trial in shard]
    assert sorted(ids) == sorted(trial.id for trial in trials)
    order = [trial.id for trial in trials]
    assert all([t.id for t in s] == sorted((t.id for t in s), key=order.index) for s in shards)
    loads = [sum(cost(trial, plugins) or 0 for trial in shard) for shard in shards]
    assert max(loads) - min(loads) <= max(cost(trial, plugins) or 0 for trial in trials)


def test_a_machine_of_other_cores_deals_the_same(trials: list[Trial], plugins: Plugins) -> None:
    there = [replace(trial, threads=64) for trial in trials]
    for number in (1, 2, 3, 4):
        here = shard_of(Shard(number, 4), trials, plugins)
        assert [t.axes for t in shard_of(Shard(number, 4), there, plugins)] == [
            trial.axes for trial in here
        ]


def test_what_looks_at_every_position_costs_more(trials: list[Trial], plugins: Plugins) -> None:
    sparse, dense = (
        next(t for t in trials if t.backend["name"] == name and t.model["hidden"] == [256, 256])
        for name in ("scipy-csr", "dense-mask")
    )
    found = [cost(trial, plugins) for trial in (sparse, dense)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[1] > 10 * found[0]


def test_data_that_is_missing_here_is_not_dealt(trials: list[Trial], plugins: Plugins) -> None:
    gone = replace(trials[0], data={"missing": "data set 'x' is not there; get it with: y"})
    with pytest.raises(SparsebenchError, match="get it with: y, or leave its trials out with -k"):
        shard_of(Shard(1, 2), [gone, *trials[1:]], plugins)
    assert shard_of(Shard(1, 1), [gone], plugins) == [gone]
