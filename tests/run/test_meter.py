from __future__ import annotations

import mmap

import pytest

from sparsebench.core.worker import memory
from sparsebench.core.worker.meter import Meter

MIB = 2**20
NEAR = 2 * MIB

pytestmark = pytest.mark.skipif(not memory.HAS_PROC, reason="exact on Linux only")


def touched(mib: int) -> mmap.mmap:
    """Memory that goes back to the system when it is closed."""
    block = mmap.mmap(-1, mib * MIB)
    for at in range(0, mib * MIB, mmap.PAGESIZE):
        block[at] = 1
    return block


@pytest.fixture
def meter() -> Meter:
    meter = Meter()
    if not meter.exact:
        pytest.skip("the peak cannot be reset here")
    meter.set_baseline()
    return meter


def peak_above_baseline(meter: Meter, phase: str) -> float:
    assert meter.baseline is not None
    return meter.phases[phase]["peak_rss_bytes"] - meter.baseline


def test_a_spike_is_seen_after_it_is_gone(meter: Meter) -> None:
    with meter.phase("train"):
        touched(20).close()
    assert abs(peak_above_baseline(meter, "train") - 20 * MIB) < NEAR
    assert abs((meter.net_peak_bytes() or 0) - 20 * MIB) < NEAR


def test_a_phase_entered_again_keeps_its_largest_peak_and_adds_its_seconds(meter: Meter) -> None:
    with meter.phase("eval"):
        touched(20).close()
    first = dict(meter.phases["eval"])
    with meter.phase("eval"):
        pass
    assert meter.phases["eval"]["peak_rss_bytes"] == first["peak_rss_bytes"]
    assert meter.phases["eval"]["seconds"] > first["seconds"]


def test_nested_phases_lose_no_peak_and_keep_their_own(meter: Meter) -> None:
    with meter.phase("train"):
        touched(30).close()
        with meter.phase("topology"):
            touched(10).close()
        touched(5).close()
    assert abs(peak_above_baseline(meter, "train") - 30 * MIB) < NEAR
    assert abs(peak_above_baseline(meter, "topology") - 10 * MIB) < NEAR
    assert abs((meter.net_peak_bytes() or 0) - 30 * MIB) < NEAR


def test_the_peak_of_an_inner_phase_counts(meter: Meter) -> None:
    with meter.phase("train"), meter.phase("topology"):
        touched(30).close()
    assert abs((meter.net_peak_bytes() or 0) - 30 * MIB) < NEAR
    assert peak_above_baseline(meter, "train") < NEAR


def test_what_happens_between_phases_counts(meter: Meter) -> None:
    with meter.phase("build"):
        pass
    touched(20).close()
    with meter.phase("train"):
        pass
    assert abs((meter.net_peak_bytes() or 0) - 20 * MIB) < NEAR


def test_what_was_before_the_baseline_counts_for_the_whole_only() -> None:
    meter = Meter()
    with meter.phase("warmup"):
        touched(40).close()
    meter.set_baseline()
    with meter.phase("train"):
        pass
    assert (meter.net_peak_bytes() or 0) < NEAR
    assert meter.peak_rss_bytes() >= meter.phases["warmup"]["peak_rss_bytes"]


def test_a_phase_ends_with_an_exception(meter: Meter) -> None:
    with pytest.raises(KeyError), meter.phase("train"):
        raise KeyError
    with meter.phase("eval"):
        pass
    assert set(meter.phases) == {"train", "eval"}


def test_no_baseline_no_net_peak() -> None:
    assert Meter().net_peak_bytes() is None


def test_without_proc_it_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "HAS_PROC", False)
    meter = Meter()
    meter.set_baseline()
    with meter.phase("train"):
        pass
    assert not meter.exact
    assert meter.method == "psutil-rss"
    assert meter.phases["train"]["peak_rss_bytes"] > 0


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert memory.read(2**22 + 1) is None
