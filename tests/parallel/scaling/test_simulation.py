"""The simulation against what can be worked out by hand, and its laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparsebench_parallel.scaling.report import (
    bound,
    predict,
    saturating_workers,
    slowest_stage,
)
from sparsebench_parallel.scaling.simulation import Costs, Setting, simulate

FREE = Costs(
    samples=640, batch=10, step_seconds=1.0, serve_seconds=0.0, up_bytes=0.0, down_bytes=0.0,
    latency=0.0, bandwidth=1e9,
)  # fmt: skip
"""64 steps of a second, and nothing else."""

BOTH = pytest.mark.parametrize("synchronous", [False, True])


def costs(**changed):
    return replace(FREE, **changed)


def epoch(of, workers, synchronous=False, **given):
    return simulate(of, Setting(workers=workers, synchronous=synchronous, **given))


@BOTH
@pytest.mark.parametrize("workers", [1, 2, 4, 64])
def test_without_contention_k_workers_are_k_times_as_fast(workers, synchronous):
    assert epoch(FREE, workers, synchronous).seconds == pytest.approx(64 / workers)


@BOTH
def test_one_worker_takes_the_sum_of_all_stages(synchronous):
    of = costs(serve_seconds=0.5, up_bytes=1e8, down_bytes=2e8, latency=0.01)
    found = epoch(of, 1, synchronous)
    assert found.seconds == pytest.approx(64 * (1 + 0.5 + 0.1 + 0.2 + 2 * 0.01))
    assert found.staleness == 0
    assert found.busy == pytest.approx(64 * 0.5 / found.seconds)


def test_a_busy_server_sets_the_pace():
    """32 workers, a service of 0.5 s: after the first gradient comes, one each 0.5 s."""
    found = epoch(costs(serve_seconds=0.5), 32)
    assert found.seconds == pytest.approx(1 + 64 * 0.5)
    assert found.busy == pytest.approx(32 / 33)


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8])
def test_a_cyclic_queue_has_the_throughput_of_its_slower_half(workers):
    """Deterministic machines and one repairman: min(k / (c + s), 1 / s), once it has settled."""
    of = costs(samples=640_00, serve_seconds=0.25)
    slowest = max(6400 * 1.25 / workers, 6400 * 0.25)
    assert epoch(of, workers).seconds == pytest.approx(slowest, rel=2e-3)


@pytest.mark.parametrize(("workers", "late"), [(2, 1), (4, 3), (32, 31)])
def test_with_a_busy_server_all_others_are_between(workers, late):
    """Each gradient waits for those of all the others: staleness is workers - 1."""
    found = epoch(costs(samples=64000, serve_seconds=2.0), workers)
    assert found.staleness == pytest.approx(late, rel=0.02)


def test_with_a_barrier_none_is_late_and_the_step_is_that_of_all():
    """A step: 1 s of all at once, then one update of their mean, then the next."""
    found = epoch(costs(serve_seconds=0.25), 4, synchronous=True)
    assert found.seconds == pytest.approx(16 * (1 + 0.25))
    assert found.staleness == 0
    assert found.applied == 64


def test_with_a_barrier_gradients_queue_at_the_link_and_values_too():
    """A step of 4: 1 s, 4 gradients of 0.25 s, the update, 4 times the values, of which the last
    worker waits for all."""
    of = costs(samples=40, serve_seconds=0.5, up_bytes=2.5e8, down_bytes=1e8)
    found = epoch(of, 4, synchronous=True)
    assert found.seconds == pytest.approx(1 + 4 * 0.25 + 0.5 + 4 * 0.1)


def test_a_full_link_sets_the_pace():
    """A gradient takes 0.5 s on the link, each way; the ways do not hinder each other."""
    of = costs(samples=6400, up_bytes=5e8, down_bytes=5e8)
    assert epoch(of, 64).seconds == pytest.approx(640 * 0.5, rel=0.02)


@pytest.mark.parametrize("bytes_", [1e8, 6e8])
def test_servers_share_updates_and_link(bytes_):
    of = costs(samples=6400, serve_seconds=0.5, up_bytes=bytes_, down_bytes=bytes_)
    one, four = (epoch(of, 64, servers=n).seconds for n in (1, 4))
    assert one / four == pytest.approx(4, rel=0.15)


def test_two_cores_are_shared_evenly():
    """Eight workers on two cores do what two would."""
    assert epoch(FREE, 8, cores=2).seconds == pytest.approx(32)
    assert epoch(FREE, 2, cores=2).seconds == pytest.approx(32)


def test_the_server_needs_a_core_too():
    """One core: every second of work counts, the server's too."""
    found = epoch(costs(serve_seconds=0.5), 4, cores=1)
    assert found.seconds == pytest.approx(64 * 1.5)


def test_a_smaller_batch_is_a_smaller_part_of_a_step():
    assert epoch(costs(samples=645), 1).seconds == pytest.approx(64.5)
    assert epoch(FREE, 640).seconds == pytest.approx(0.1)


SOME = st.builds(
    Costs,
    samples=st.integers(1, 300), batch=st.integers(1, 20),
    step_seconds=st.floats(1e-5, 2.0), serve_seconds=st.floats(0, 2.0),
    up_bytes=st.floats(0, 1e8), down_bytes=st.floats(0, 1e8),
    latency=st.floats(0, 0.5), bandwidth=st.floats(1e7, 1e10),
)  # fmt: skip
SETTINGS = st.builds(
    Setting,
    workers=st.integers(1, 20), synchronous=st.booleans(),
    cores=st.none() | st.floats(1, 30), servers=st.integers(1, 5),
)  # fmt: skip


@given(SOME, SETTINGS)
def test_every_gradient_is_applied_once_and_no_epoch_is_shorter_than_the_bound(of, setting):
    found = simulate(of, setting)
    batches = of.batches(setting.workers)
    assert sum(map(sum, batches)) == of.samples
    assert found.applied == sum(map(len, batches))
    assert 0 <= found.busy <= 1 + 1e-9
    assert found.seconds >= bound(of, setting) * (1 - 1e-9)
    assert found == simulate(of, setting)


@given(SOME, SETTINGS)
def test_nothing_is_late_alone_or_with_a_barrier(of, setting):
    """0 with a barrier, or alone."""
    found = simulate(of, setting)
    if setting.synchronous or setting.workers == 1:
        assert found.staleness == 0
    assert found.staleness >= 0


def test_a_long_epoch_is_simulated_in_part_and_counted_in_full():
    of = costs(samples=1_000_000, serve_seconds=0.1, topology_seconds=7.0)
    found = predict(of, Setting(workers=4, synchronous=False))
    assert found.seconds == pytest.approx(100_000 * 1.1 / 4 + 7, rel=1e-3)


def test_more_workers_than_samples_are_left_out():
    found = predict(costs(samples=5), Setting(workers=1000, synchronous=False))
    assert found.setting.workers == 5


def test_saturation_is_where_the_slowest_stage_has_no_pause():
    of = costs(serve_seconds=0.1, up_bytes=3e8, down_bytes=1e8)
    assert slowest_stage(of, 1, False) == ("link", pytest.approx(0.3))
    assert slowest_stage(of, 4, False)[1] == pytest.approx(0.3 / 4)
    assert saturating_workers(of, 1, False) == pytest.approx((1 + 0.1 + 0.4) / 0.3)
