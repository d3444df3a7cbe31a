"""From numbers to words: worked examples on both sides of each threshold."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sparsebench.analysis.audit_verdict import (
    DENSE_STORAGE,
    DENSE_WORK,
    MIB,
    UNDECLARED,
    Judgement,
    audited,
    claim_of,
    judge,
    judge_bytes,
)
from sparsebench.analysis.footnote_marks import marked_labels, marked_topologies
from sparsebench.core.audit.probe_evidence import Evidence, Point, beyond_doubt, suspicious
from sparsebench.core.audit.probe_sizes import DENSEST, SIDES, SPARSEST, Sizes, sizes_for
from sparsebench.registry import Plugins

SIZES = Sizes(side=4096, batch=32)
ENTRIES = 4096 * 4096


def evidence(*, declared=MIB, held=MIB, peak=2 * MIB, step=0.002, change=0.001, exact=True):
    """A square layer with these numbers beside thin ones with those of a truly sparse layer."""

    def point(shape, declared, held, peak, step, change):
        peaks = {"step": peak, "change": 2 * MIB} if exact else {}
        return Point(shape, int(declared), int(held), peaks, {"step": step, "change": change})

    thin = [point(shape, MIB, MIB, 2 * MIB, 0.002, 0.001) for shape in SIZES.shapes[:2]]
    square = point(SIZES.shapes[2], declared, held, int(peak), step, change)
    return Evidence(True, SIZES, (*thin, square), 1.0)


def test_the_shapes_differ_in_k_times_d_only():
    assert {K + D for K, D in SIZES.shapes} == {8192}
    thin, across, square = (K * D for K, D in SIZES.shapes)
    assert thin == across
    assert 32 <= square / thin < 33


@pytest.mark.parametrize("side", SIDES)
def test_thin_layers_have_room_for_the_connections(side):
    for density in (SPARSEST, DENSEST):
        sizes = Sizes(side, 32, density)
        assert all(sizes.nnz < 0.52 * K * D for K, D in sizes.shapes)
        assert all(2 * side == K + D for K, D in sizes.shapes)


@pytest.mark.parametrize(
    ("room", "side"), [(2**31, 4096), (2**30 // 2, 2048), (2**26, 1024), (2**25, None)]
)
def test_sizes_are_chosen_by_what_a_dense_backend_would_take(room, side):
    found = sizes_for(room, 16)
    assert (found.side if found else None) == side


def test_the_trials_own_batch_width_and_band_of_density_are_probed():
    assert [sizes_for(2**31, N).batch for N in (1, 8, 500)] == [1, 8, 500]
    sides = {16: 1024, 900: 1024, 1500: 2048, 3000: 4096, 10**6: 4096}
    assert {side: sizes_for(2**31, 8, side=side).side for side in sides} == sides
    bands = {0.0: 2**-9, 0.004: 2**-8, 0.04: 2**-5, 0.033: 2**-5, 1.0: 2**-4}
    assert {d: sizes_for(2**31, 8, density=d).density for d in bands} == bands
    assert str(sizes_for(2**31, 128, side=1000, density=0.04)) == (
        "layers up to 1024 x 1024, 3.1 % dense (32,768 connections), batches of 128"
    )


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, ()),
        ({"step": 0.0039}, ()),  # 1.95 times as long
        ({"step": 0.0101}, (DENSE_WORK,)),
        ({"change": 0.0051}, (DENSE_WORK,)),
        ({"declared": MIB + 16 * ENTRIES}, (DENSE_STORAGE,)),
        ({"declared": MIB + ENTRIES / 8}, (DENSE_STORAGE,)),  # a mask of bits
        ({"declared": MIB + 1000}, ()),
        ({"peak": 2 * MIB + ENTRIES}, (DENSE_STORAGE,)),  # a mask of bytes
        ({"peak": 4 * MIB}, ()),
        ({"held": 20 * MIB}, (UNDECLARED,)),
        ({"held": 8 * MIB}, ()),
        ({"held": 65 * MIB, "peak": 66 * MIB}, (DENSE_STORAGE, UNDECLARED)),
    ],
    ids=str,
)
def test_flags_follow_what_grows(given, flags):
    found = judge(evidence(**given))
    assert found.flags == flags, found.why
    assert found.sure


def test_a_growth_between_the_thresholds_is_too_close_to_tell():
    found = judge(evidence(step=0.008))
    assert (found.flags, found.sure) == ((), False)
    assert "4.0 times as long (2 ms to 8 ms), too close to tell" in found.why


def test_growth_too_short_for_any_pass_over_the_entries_is_none():
    quick = evidence()
    for point, seconds in zip(quick.points, (1e-6, 1e-6, 1e-4), strict=True):
        point.seconds["weights"] = seconds
    assert judge(quick).flags == ()
    assert not suspicious(quick.points)


def test_where_k_d_grows_less_the_limits_are_lower():
    sizes = Sizes(1024, 128, DENSEST)
    seconds = (1e-3, 1e-3, 3e-3)
    points = [Point(s, 1, 1, {}, {"step": t}) for s, t in zip(sizes.shapes, seconds)]
    assert judge(Evidence(True, sizes, tuple(points), 1.0)).flags == (DENSE_WORK,)


def test_memory_that_was_there_before_is_found_by_its_use():
    found = evidence()
    for point, used in zip(found.points, (MIB, MIB, MIB + ENTRIES)):
        point.touched["change"] = used
    judged = judge(found)
    assert judged.flags == (DENSE_STORAGE,)
    assert "change uses 17.0 MiB of memory that was there before" in judged.why


def test_more_repeats_are_worth_it_only_while_it_looks_dense():
    assert [suspicious(evidence(step=s).points) for s in (0.002, 0.007, 0.03)] == [0, 1, 1]
    assert [beyond_doubt(evidence(step=s).points) for s in (0.002, 0.012, 0.03)] == [0, 0, 1]


def test_without_a_high_water_mark_only_declarations_and_time_are_judged():
    blind = judge(evidence(exact=False))
    assert not blind.sure
    assert "high-water mark" in blind.why
    assert "biggest_call" not in blind.numbers
    assert judge(evidence(exact=False, step=0.05)).flags == (DENSE_WORK,)


# --- a trial's own bytes -------------------------------------------------------------


def layer(shape=(2000, 2000), nnz=20_000, stored=480_000):
    return {
        "shape": list(shape), "initial_connections": nnz, "connections": nnz,
        "stored_bytes": {"weights": stored},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "measures", "flags"),
    [
        ([layer()], {"stored_bytes": 600_000, "net_peak_bytes": 2 * MIB}, ()),
        ([layer(stored=64_000_000)], {}, (DENSE_STORAGE,)),
        ([layer(nnz=4_000_000, stored=96_000_000)], {}, ()),  # a dense topology says nothing
        ([layer()], {"stored_bytes": 600_000, "net_peak_bytes": 30 * MIB}, (UNDECLARED,)),
        ([], {}, ()),
    ],
    ids=["sparse", "declared", "full", "hidden", "nothing"],
)
def test_a_trial_tells_by_its_bytes(layers, measures, flags):
    assert judge_bytes(layers, measures).flags == flags


@pytest.mark.parametrize(("processes", "flags"), [(1, (UNDECLARED,)), (3, ())])
def test_each_process_of_a_trial_has_a_network(processes, flags):
    measures = {"stored_bytes": 600_000, "net_peak_bytes": 24 * MIB}
    assert judge_bytes([layer()], measures, processes).flags == flags


def test_several_processes_hide_no_dense_matrix():
    measures = {"stored_bytes": 600_000, "net_peak_bytes": 90 * MIB}
    assert judge_bytes([layer()], measures, 3).flags == (UNDECLARED,)


def test_a_small_network_cannot_tell():
    small = judge_bytes(
        [layer((100, 100), 500, 9000)], {"stored_bytes": 9000, "net_peak_bytes": MIB}
    )
    assert small.numbers["dense_bytes"] == 40_000
    assert small.why == "a network whose dense weights are 39.1 KiB is too small to tell"


# --- the verdict ---------------------------------------------------------------------

CLEAN = Judgement((), True, "nothing grows", {"side": 4096})
DENSE = Judgement((DENSE_WORK,), True, "step takes 20 times as long", {"side": 4096})
CLOSE = Judgement((), False, "too close to tell", {"side": 4096})


@pytest.mark.parametrize(
    ("claims", "probed", "word"),
    [
        ("truly sparse", CLEAN, "truly sparse"),
        ("truly sparse", DENSE, "contradicted"),
        ("truly sparse", CLOSE, "cannot tell"),
        ("truly sparse", "the probe ended timeout", "cannot tell"),
        ("simulated", DENSE, "simulated"),
        ("unknown", DENSE, "simulated"),
        ("unknown", CLEAN, "truly sparse"),
    ],
)
def test_the_verdict_sets_the_finding_against_the_claim(claims, probed, word):
    assert audited(claims, [], {}, probed)["verdict"] == word


def test_a_trial_contradicts_a_claim_that_the_probe_let_pass():
    found = audited("truly sparse", [layer(stored=64_000_000)], {}, CLEAN)
    assert (found["verdict"], found["flags"]) == ("contradicted", [DENSE_STORAGE])
    assert found["why"] == "stores a value for each entry of K D in 1 layers (2000 x 2000)"
    assert found["dense_bytes"] == 16_000_000


def test_a_declared_dense_phase_is_not_taken_for_hidden_memory():
    measures = {"stored_bytes": 600_000, "net_peak_bytes": 60 * MIB}
    assert judge_bytes([layer()], measures).flags == (UNDECLARED,)
    pruned = {**measures, "initial_connections": 4_000_000, "connections": 20_000}
    assert judge_bytes([layer()], pruned).flags == ()
    chosen = judge_bytes([layer()], measures, dense_start=True)
    assert (chosen.flags, chosen.sure) == ((), False)
    assert "chooses from a full network before training" in chosen.why
    stores = judge_bytes([layer(stored=64_000_000)], measures, dense_start=True)
    assert stores.flags == (DENSE_STORAGE,)  # this is no phase


def of_topology(name, audit, observers=(), trainer="sequential"):
    trial = SimpleNamespace(
        topology={"name": name}, observers=[*observers], trainer={"name": trainer}
    )
    return SimpleNamespace(audit=audit, settings={}, trial=trial)


def test_a_high_peak_of_one_method_is_not_its_backends():
    high = audited("truly sparse", [layer()], {"stored_bytes": 600_000,
                   "net_peak_bytes": 60 * MIB}, "it was not asked for")  # fmt: skip
    assert high["verdict"] == "contradicted"
    both = [of_topology("ch3-l3", high), of_topology("set", {})]
    assert marked_labels(["numba-csr"] * 2, both) == ["numba-csr"] * 2
    every = [of_topology("ch3-l3", high), of_topology("set", high)]
    assert marked_labels(["numba-csr"] * 2, every) == ["numba-csr ‡"] * 2
    watched = [of_topology(name, high, [{"name": "overlap"}]) for name in ("ch3-l3", "set")]
    assert marked_labels(["numba-csr"] * 2, watched) == ["numba-csr"] * 2
    judged = [of_topology(name, high, trainer="feature-selection") for name in ("ch3-l3", "set")]
    assert marked_labels(["numba-csr"] * 2, judged) == ["numba-csr"] * 2


def test_a_dense_model_or_topology_contradicts_a_claim_too():
    found = audited("truly sparse", [], {}, CLEAN, 1, DENSE)
    assert (found["verdict"], found["why"]) == ("contradicted", DENSE.why)
    records = [of_topology(name, one) for name, one in (("mine", found), ("set", {}))]
    assert marked_labels(["numba-csr"] * 2, records) == ["numba-csr"] * 2  # not its fault
    assert marked_topologies(["mine", "set"], records) == ["mine ‡", "set"]
    masks = audited("simulated", [], {}, DENSE, 1, DENSE)  # on a dense backend all are dense
    assert marked_topologies(["set"], [SimpleNamespace(audit=masks, settings={})]) == ["set"]
    both = audited("truly sparse", [], {}, CLEAN, 1, CLEAN)
    assert (both["verdict"], both["method_probe"]) == ("truly sparse", CLEAN.numbers)


def test_why_there_was_no_probe_is_said():
    assert audited("truly sparse", [], {}, "it was not asked for")["why"].startswith(
        "no probe: it was not asked for"
    )


def test_the_class_is_believed_before_the_parameters():
    backend = {"name": "nobody's"}
    claims = [claim_of(backend, Plugins(), said) for said in (True, False, None)]
    assert claims == ["truly sparse", "simulated", "unknown"]


def test_peaks_may_differ_by_some_bytes_a_connection():
    """How much of temporary arrays is reused depends on the allocator and not on K D alone."""
    sizes = Sizes(4096, 128, DENSEST)
    shapes = sizes.shapes

    def found(more):
        points = [
            Point(shape, 2**20, 2**20, {"change": 30 * MIB + (shape == shapes[-1]) * more},
                  {"change": 0.01})
            for shape in shapes
        ]  # fmt: skip
        return judge(Evidence(True, sizes, tuple(points), 1.0)).flags

    assert found(15 * sizes.nnz) == ()
    assert found(64 * sizes.nnz) == ("dense-storage",)
