import json
from dataclasses import replace

import numpy as np
import pytest
from records import MACHINE, SETTINGS, compared, run_of, verdicts
from records import cell_trial as trial
from records import measured as record

from sparsebench.analysis.comparison import STATUS, compare
from sparsebench.analysis.comparison_sides import Side, side_of
from sparsebench.analysis.gates import Gate, Gates, default_gates, fail_if, resolve_gates
from sparsebench.core.status import Status
from sparsebench.errors import GateError, NothingMatched
from sparsebench.metrics import BUILT_IN as METRICS
from sparsebench.metrics import Metrics
from sparsebench.report.comparison import (
    WIDTH,
    as_markdown,
    as_text,
    pair_line,
    to_json,
    verdict_line,
)


def cell(values, name="net_peak_bytes", seeds=range(100), **changed):
    """A cell's records with these values of one metric."""
    of = {key: changed.pop(key) for key in ("backend", "size", "epochs") if key in changed}
    return [
        record(trial(seed=seed, **of), measures={name: value}, **changed)
        for seed, value in zip(seeds, values)
    ]


def only(comparison, name):
    (found,) = [one for one in comparison.findings if one.metric == name]
    return found


MIB = 2.0**20


# --- verdicts of measured metrics ----------------------------------------------------


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        ([100, 101, 100, 99, 100], [110, 111, 110, 109, 110], "worse"),
        ([100, 101, 100, 99, 100], [103, 104, 103, 102, 103], "ok"),  # not 5 %
        ([2, 2.1, 2, 1.9, 2], [2.3, 2.4, 2.3, 2.2, 2.3], "below the floor"),  # 15 %, 0.3 MiB
        ([0.6, 0.61, 0.6, 0.6, 0.6], [1.8, 1.8, 1.81, 1.8, 1.8], "worse"),  # threefold
        ([100, 101, 100, 99, 100], [90, 91, 90, 89, 90], "better"),
        ([100, 101, 100, 99, 100], [100, 101, 100, 99, 100], "same"),
        ([100, 120, 90, 99, 101], [130, 90, 120, 100, 110], "cannot tell"),
        ([100] * 5, [110] * 5, "worse"),  # no spread at all
    ],
)
def test_memory_is_worse_beyond_share_and_floor(base, head, verdict):
    found = only(
        compared(cell([v * MIB for v in base]), cell([v * MIB for v in head])), "net_peak_bytes"
    )
    assert str(found.verdict) == verdict


def test_memory_that_was_not_measured_exactly_has_a_higher_floor():
    rough = {**SETTINGS, "exact": False}
    sides = [
        cell([v * MIB for v in values], settings=rough)
        for values in ([0.6, 0.61, 0.6, 0.6, 0.6], [1.8, 1.8, 1.81, 1.8, 1.8])
    ]
    found = compared(*sides)
    assert str(only(found, "net_peak_bytes").verdict) == "below the floor"
    assert "below the floor of 2.00 MiB" in as_text(found)
    assert verdict_line(found) == "PASSED: no gate failed; 1 below the floor (net_peak_bytes)"


def test_a_pair_is_reported_in_a_line():
    measures = {"epoch_seconds": 1.0, "test_accuracy": 0.9, "stored_bytes": 10}
    base = record(trial(), measures=measures)
    head = record(trial(), measures={**measures, "epoch_seconds": 1.1, "test_accuracy": 0.905})
    assert pair_line(base, head, Metrics()) == (
        "test_accuracy 90.00 %, 90.50 % (+0.50 points); epoch_seconds 1.00 s, 1.10 s (+10.0 %)"
    )
    failed = replace(head, status=Status.TIMEOUT)
    assert pair_line(base, failed, Metrics()) == "BASE ok, HEAD timeout"


def test_both_sides_are_named_with_their_commits():
    facts = [
        {"run": "git:main (0123456789ab)", "commit": "0123456789abcdef"},
        {"run": "r2", "commit": "ba9876543210ffff+"},
    ]
    sides = [
        replace(side_of(cell([MIB] * 5)), facts={**one, "store": "", "suite": ""}) for one in facts
    ]
    text = as_text(compare(*sides, default_gates()))
    assert text.splitlines()[:2] == [
        "BASE git:main (0123456789ab)", "HEAD r2, sparsebench ba9876543210+",
    ]  # fmt: skip


def test_the_last_line_says_what_would_decide_the_rest():
    """Times 15 % apart to both sides of 20 %: an interval about 1.6 times as wide as it may be."""
    base = [1.0, 1.0, 1.0, 1.0, 1.0]
    head = [1.05, 1.35, 1.05, 1.35, 1.20]
    found = compared(
        [*cell(base, "epoch_seconds"), *cell([MIB] * 5, seeds=range(5), epochs=3)],
        [*cell(head, "epoch_seconds"), *cell([MIB] * 5, seeds=range(5), epochs=3)],
    )
    (one,) = [one for one in found.findings if one.metric == "epoch_seconds"]
    assert str(one.verdict) == "cannot tell"
    assert one.missing is not None
    expected = f"PASSED, 1 undecided (epoch_seconds; about {one.missing} more seeds would decide)"
    assert verdict_line(found) == expected
    few = compared(cell(base[:3], "epoch_seconds"), cell(head[:3], "epoch_seconds"))
    assert only(few, "epoch_seconds").missing == 2


@pytest.mark.parametrize(
    ("shift", "spread", "verdict"),
    [
        (-0.010, 0.001, "worse"),
        (-0.004, 0.0005, "ok"),  # surely worse, but within half a point
        (-0.0055, 0.02, "cannot tell"),
        (+0.010, 0.001, "better"),
        (+0.001, 0.001, "ok"),
        (0.0, 0.0, "same"),
    ],
)
def test_accuracy_is_judged_in_points(shift, spread, verdict):
    base = [0.90, 0.91, 0.92, 0.93, 0.94]
    noise = np.array([-1, 1, 0, -1, 1]) * spread
    head = [value + shift + more for value, more in zip(base, noise)]
    found = only(
        compared(cell(base, "test_accuracy"), cell(head, "test_accuracy")), "test_accuracy"
    )
    assert str(found.verdict) == verdict


def test_pairs_by_seed_see_what_two_samples_do_not():
    base = [0.80, 0.85, 0.90, 0.95, 0.99]
    head = [value - 0.01 + 0.0005 * (-1) ** i for i, value in enumerate(base)]
    paired = compared(cell(base, "test_accuracy"), cell(head, "test_accuracy"))
    apart = compared(cell(base, "test_accuracy"), cell(head, "test_accuracy", seeds=range(50, 55)))
    assert verdicts(paired, "test_accuracy") == ["worse"]
    assert verdicts(apart, "test_accuracy") == ["cannot tell"]
    assert [only(c, "test_accuracy").difference.paired for c in (paired, apart)] == [True, False]


def test_a_finding_without_verdict_says_which_change_would_be_seen():
    found = only(
        compared(
            cell([0.90, 0.95, 0.91, 0.97, 0.93], "test_accuracy"),
            cell([0.93, 0.92, 0.96, 0.91, 0.95], "test_accuracy"),
        ),
        "test_accuracy",
    )
    assert str(found.verdict) == "cannot tell"
    assert 0.02 < found.detectable < 0.2


def test_few_seeds_decide_what_is_exact_only():
    def three(peak, stored):
        return [
            record(
                trial(seed=s),
                measures={"net_peak_bytes": peak * MIB + s, "stored_bytes": stored},
            )
            for s in range(3)
        ]

    found = compared(three(100, 8), three(200, 8))
    assert only(found, "net_peak_bytes").reason == "3 of at least 5 seeds"
    assert verdicts(found, "stored_bytes") == ["same"]
    assert found.exit_code == 0
    assert compared(three(100, 8), three(200, 8), strict=True).exit_code == 6
    assert compared(three(100, 8), three(200, 9)).exit_code == 3
    assert compared(three(100, 8), three(200, 8), min_seeds=3).exit_code == 3


def test_nothing_but_noise_is_inconclusive():
    found = compared(cell([100 * MIB] * 3), cell([200 * MIB] * 3))
    assert found.exit_code == 6


def test_a_value_of_zero_has_no_ratio():
    found = compared(
        cell([0.0, 1, 1, 1, 1], "epoch_seconds"), cell([1.0, 1, 1, 1, 2], "epoch_seconds")
    )
    assert only(found, "epoch_seconds").reason == "a value is 0, so there is no ratio"


def test_holm_looks_at_all_cells_of_a_metric():
    """A change that is found in one cell alone is not, where twenty others show nothing."""
    base = [0.90, 0.91, 0.90, 0.89, 0.905]
    head = [value - 0.012 + d for value, d in zip(base, (0.004, -0.004, 0.006, -0.006, 0))]
    alone = compared(cell(base, "test_accuracy"), cell(head, "test_accuracy"))
    rng = np.random.default_rng(1)
    noise = [
        [c for size in range(2, 22) for c in cell(0.9 + 0.01 * rng.normal(size=5), "test_accuracy",
                                                  size=size)]
        for _ in range(2)
    ]  # fmt: skip
    among = compared(
        [*cell(base, "test_accuracy"), *noise[0]], [*cell(head, "test_accuracy"), *noise[1]]
    )
    assert verdicts(alone, "test_accuracy") == ["worse"]
    assert verdicts(among, "test_accuracy")[0] == "cannot tell"


# --- exact metrics -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "base", "head", "verdict", "code"),
    [
        ("stored_bytes", [8, 9], [8, 9], "same", 0),
        ("stored_bytes", [8, 9], [8, 10], "worse", 3),
        ("stored_bytes", [8, 9], [7, 9], "better", 0),
        ("stored_bytes", [8, 9], [7, 10], "worse", 3),
        ("connections", [8, 9], [8, 10], "different", 3),
        ("neurons", [8], [8], "same", 0),
    ],
)
def test_counts_are_equal_or_not(name, base, head, verdict, code):
    found = compared(cell(base, name), cell(head, name))
    assert verdicts(found, name) == [verdict]
    assert found.exit_code == code


def test_counts_at_other_seeds_are_compared_where_seeds_do_not_matter():
    assert compared(cell([8, 8], "neurons"), cell([8], "neurons", seeds=[7])).exit_code == 0
    assert compared(cell([8, 8], "neurons"), cell([9], "neurons", seeds=[7])).exit_code == 3
    found = compared(cell([8, 9], "connections"), cell([8, 9], "connections", seeds=[7, 8]))
    assert verdicts(found, "connections") == ["cannot tell"]


# --- cells that are not on both sides, or did not end well ---------------------------


def failed(seeds, status, detail="boom"):
    return [record(trial(seed=s), status, detail=detail) for s in seeds]


@pytest.mark.parametrize(
    ("base", "head", "verdict", "code"),
    [
        (cell([1] * 5), failed(range(5), "error"), "newly failing", 3),
        (cell([1] * 5), [*cell([1] * 4), *failed([4], "timeout")], "newly failing", 3),
        (failed(range(5), "error"), cell([1] * 5), "newly passing", 0),
        (failed(range(5), "error"), failed(range(5), "timeout"), "same", 6),
        (cell([1] * 5), failed(range(5), "skipped"), "cannot tell", 6),
        (cell([1] * 5), failed(range(5), "interrupted"), "cannot tell", 6),
    ],
)
def test_how_trials_ended(base, head, verdict, code):
    found = compared(base, head)
    assert verdicts(found, STATUS) == [verdict]
    assert found.exit_code == code


def test_new_and_removed_cells_are_listed_and_fail_nothing():
    same = cell([MIB] * 5)
    found = compared([*same, *cell([1] * 5, size=3)], [*same, *cell([1] * 5, size=4)])
    assert verdicts(found, STATUS) == ["new", "removed"]
    assert found.exit_code == 0
    assert verdict_line(found).endswith("; 1 cell of BASE not in HEAD")
    strict = replace(found, gates=replace(found.gates, strict=True))
    assert strict.exit_code == 6
    assert "HEAD lacks cells of BASE and the comparison is strict" in verdict_line(strict)


def test_a_planned_trial_without_a_record_is_not_removed():
    same, more = cell([MIB] * 5), cell([1] * 5, size=3)
    missing = frozenset(one.trial.id for one in more)
    head = replace(side_of(same), missing=missing)
    found = compare(side_of([*same, *more]), head, default_gates())
    assert [str(one.verdict) for one in found.findings if one.metric == STATUS] == ["cannot tell"]
    assert "HEAD is not complete: 5 trials have no record" in found.notes


def test_nothing_in_common_says_what_differs():
    with pytest.raises(NothingMatched) as caught:
        compared(cell([1] * 5), cell([1] * 5, epochs=9))
    assert caught.value.exit_code == 5
    assert str(caught.value) == (
        "1 cells of BASE and 1 of HEAD have none in common; the most alike differ in epochs (4, 9)"
    )
    with pytest.raises(NothingMatched):
        compare(Side({}), Side({}), default_gates())


# --- what may not be compared --------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"machine": {"id": "other"}}, "machine differs: ab12 against other"),
        ({"debug": True}, "debug differs: False against True"),
        ({"settings": {**SETTINGS, "memory_method": "polled"}},
         "memory method differs: VmHWM against polled"),
        ({"settings": {**SETTINGS, "exact": False}}, "exact memory differs: True against False"),
    ],
)  # fmt: skip
def test_other_circumstances_decide_nothing(changed, reason):
    found = compared(cell([MIB] * 5), cell([9 * MIB] * 5, **changed))
    assert verdicts(found, STATUS) == ["not comparable"]
    assert found.findings[0].reason == reason
    assert found.exit_code == 6


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"contended": True}, "contended differs: False against True"),
        ({"settings": {**SETTINGS, "threading_layer": "tbb"}},
         "threading layer differs: omp against tbb"),
    ],
)  # fmt: skip
def test_what_disturbs_time_leaves_memory_comparable(changed, reason):
    base = cell([MIB] * 5) + cell([1.0] * 5, "epoch_seconds", size=3)
    head = cell([MIB] * 5, **changed) + cell([9.0] * 5, "epoch_seconds", size=3, **changed)
    found = compared(base, head)
    assert verdicts(found, "net_peak_bytes") == ["same"]
    assert only(found, "epoch_seconds").reason == reason
    assert found.exit_code == 0


@pytest.mark.parametrize(("disturbed", "verdict"), [(5, "cannot tell"), (2, "worse")])
def test_times_of_a_disturbed_machine_cannot_be_distinguished(disturbed, verdict):
    slow, quiet = {"marks": ["load"]}, {"marks": []}
    base = cell([1.0, 1.01, 0.99, 1.0, 1.02], "epoch_seconds")
    head = [
        replace(one, noise=slow if seed < disturbed else quiet)
        for seed, one in enumerate(cell([1.5, 1.51, 1.49, 1.5, 1.52], "epoch_seconds"))
    ]
    found = only(compared(base, head), "epoch_seconds")
    assert str(found.verdict) == verdict
    assert found.interval is not None
    if verdict == "cannot tell":
        assert found.reason == "disturbed, and not in turn (HEAD: load on 5 of 5 trials)"


def test_a_disturbed_machine_leaves_memory_comparable():
    base = cell([100 * MIB + i for i in range(5)])
    head = [
        replace(one, noise={"marks": ["load"]})
        for one in cell([150 * MIB + 2 * i for i in range(5)])
    ]
    assert str(only(compared(base, head), "net_peak_bytes").verdict) == "worse"


def test_a_side_of_two_machines_is_not_comparable():
    mixed = [*cell([MIB] * 3), *cell([MIB] * 2, seeds=[3, 4], machine={"id": "other"})]
    assert verdicts(compared(mixed, mixed), STATUS) == ["not comparable"]


def test_noise_and_reused_records_are_notes():
    quiet = cell([MIB] * 5, started="t0")
    loud = cell([MIB] * 5, started="t1", noise={"marks": ["load"]})
    again = "reused and not measured again; measure anew: sparsebench run SUITE --rerun all"
    assert compared(quiet, quiet).notes == [f"5 of HEAD's 5 records are BASE's own, {again}"]
    some = [*quiet[:2], *cell([MIB] * 3, seeds=range(2, 5), started="t1")]
    assert compared(quiet, some).notes == [f"2 of HEAD's 5 records are BASE's own, {again}"]
    (note,) = compared(quiet, loud).notes
    assert note == "the machine was disturbed while trials of HEAD ran: 5 load"
    assert compared(quiet, loud).exit_code == 0


def stepping(step, started, **of):
    return cell([MIB] * 5, started=started, settings={"exact": True, "step": step}, **of)


def test_cells_whose_steps_were_made_in_another_way_are_a_note():
    compiled, layers = stepping("compiled", "t0"), stepping("layers", "t1")
    (note,) = compared(layers, compiled).notes
    assert note == (
        "training steps of 1 cell: layers in BASE, compiled in HEAD (settings.step), so their "
        "times compare two programs"
    )
    assert compared(layers, stepping("layers", "t2")).notes == []
    assert compared(cell([MIB] * 5), compiled).notes == []
    sides = [[*stepping("compiled", t), *stepping("layers", t, size=3)] for t in ("t3", "t4")]
    assert compared(*sides).notes == []
    (note,) = compared(sides[0], [*stepping("layers", "t5"), *sides[1][5:]]).notes
    assert note.startswith("training steps of 1 cell: compiled in BASE, layers in HEAD")


def test_sides_of_other_seeds_are_compared_on_those_that_both_have():
    accuracies = [0.90, 0.99, 0.98, 0.97, 0.96]
    base, head = cell(accuracies[:1], "test_accuracy"), cell(accuracies, "test_accuracy")
    for sides in ((base, head), (head, base)):
        found = compared(*sides)
        one = only(found, "test_accuracy")
        assert (one.n, one.effect, one.reason) == (1, 0.0, "1 of at least 5 seeds")
        assert "compared on the seeds that both have: 0" in found.notes
    found = compared(
        cell(accuracies * 3, "test_accuracy"), cell(accuracies * 3, "test_accuracy", range(2, 17))
    )
    assert only(found, "test_accuracy").difference.paired
    assert "both have: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more" in " ".join(found.notes)


def test_the_seeds_of_some_cells_and_folds_are_named():
    same = cell([MIB] * 5)
    folds = [
        [record(trial(size=3, fold=f"{fold}/2"), measures={"neurons": 3}) for fold in kept]
        for kept in ((1, 2), (2,))
    ]
    found = compared([*same, *folds[0]], [*same, *folds[1]])
    assert "1 cell of 2: compared on the seeds that both have: 0 fold 2/2" in found.notes


def test_sides_without_a_common_seed_say_so():
    base, head = (cell([0.9, 0.91, 0.92], "test_accuracy", range(s, s + 3)) for s in (0, 7))
    found = compared(base, head, min_seeds=3)
    assert not only(found, "test_accuracy").difference.paired
    assert found.notes[0] == (
        "no seed is on both sides, so nothing is paired: 0, 1, 2 in BASE, 7, 8, 9 in HEAD"
    )


# --- what is shown -------------------------------------------------------------------


def everything():
    """All kinds of findings at once, with labels and texts of strangers."""
    rng = np.random.default_rng(3)
    base, head = run_of(rng, time_cv=0.4), run_of(rng, memory=1.1, accuracy=0.002, time_cv=0.4)
    head[0] = record(head[0].trial, "error", detail="\x1b[31m" + "very long | `detail` " * 20)
    axes = {"backend": "x" * 150 + "\x1b[2J"}
    odd = [record(replace(trial(seed=0, size=7), axes=axes), measures={"neurons": 3})]
    return compared([*base, *odd], [*head, *cell([1] * 5, size=8)])


def test_the_table_fits_a_terminal():
    text = as_text(everything())
    assert max(map(len, text.splitlines())) <= WIDTH == 80
    assert "\x1b" not in text
    assert "worse !" in text
    assert text.splitlines()[-1].startswith("FAILED: ")


def test_markdown_is_a_table_that_nothing_breaks():
    page = as_markdown(everything())
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {11}
    assert page.startswith("### sparsebench compare: FAILED: ")
    assert "<details>" in page
    assert "\x1b" not in page


def test_json_is_finite_and_complete():
    comparison = everything()
    data = json.loads(json.dumps(to_json(comparison), allow_nan=False))
    assert data["exit_code"] == 3
    assert len(data["findings"]) == len(comparison.findings)
    worse = next(
        one for one in data["findings"]
        if one["metric"] == "net_peak_bytes" and one["verdict"] == "worse"
    )  # fmt: skip
    low, high = worse["interval"]
    assert low < worse["effect"] < high
    assert worse["effect"] == pytest.approx(0.1, abs=0.01)
    assert worse["p"] <= worse["p_holm"] < 0.05 < worse["p_sign_flip"]
    assert worse["base"]["interval_bca"][0] <= worse["base"]["mean"]


def test_the_gates_in_json_are_those_that_were_used():
    exact, rough = cell([MIB] * 5), cell([MIB] * 5, size=3, settings={**SETTINGS, "exact": False})

    def floors(records):
        data = to_json(compared(records, records))
        gates = [gate for gate in data["gates"] if gate["metric"] == "net_peak_bytes"]
        used = [one["gate"] for one in data["findings"] if one["metric"] == "net_peak_bytes"]
        assert gates == used
        return [gate["floor"] for gate in gates]

    assert floors(exact) == [MIB / 2]
    assert floors(rough) == [2 * MIB]
    assert floors([*exact, *rough]) == [MIB / 2, 2 * MIB]
    unused = to_json(compared(exact, exact))["gates"]
    assert {gate["metric"] for gate in unused} == set(default_gates().by_metric)


# --- gates ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("net_peak_bytes:+5%", Gate(METRICS["net_peak_bytes"], threshold=0.05)),
        ("net_peak_bytes:+5%,2MiB", Gate(METRICS["net_peak_bytes"], 0.05, 2 * MIB)),
        ("test_accuracy:-0.5 points", Gate(METRICS["test_accuracy"], floor=0.005)),
        ("test_accuracy: -0.01", Gate(METRICS["test_accuracy"], floor=0.01)),
        ("epoch_seconds:+20ms", Gate(METRICS["epoch_seconds"], floor=0.02)),
        ("samples_per_second:-10%", Gate(METRICS["samples_per_second"], threshold=0.1)),
        ("stored_bytes:exact", Gate(METRICS["stored_bytes"])),
    ],
)
def test_gates_of_the_command_line(text, gate):
    assert fail_if(text) == gate


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("net_peak_bytes:5%", "expected a sign, the direction that is worse; write "
         "net_peak_bytes:+5%"),
        ("test_accuracy:1 point", "write test_accuracy:-1 point"),
        ("net_peak_bytes:5%,2MiB", "write net_peak_bytes:+5%,2MiB"),
        ("net_peak_bytes:-5%", "of net_peak_bytes less is better; write +5%"),
        ("test_accuracy:+1 point", "of test_accuracy more is better; write -1 point"),
        ("peak_flops_per_second:-5%", "an increase counts as worse; write +5%"),
        ("stored_bytes:5%", "stored_bytes is compared exactly; write stored_bytes:exact"),
    ],
)  # fmt: skip
def test_a_gate_needs_the_sign_of_what_is_worse(text, complaint):
    with pytest.raises(GateError) as caught:
        fail_if(text)
    assert str(caught.value).startswith(f"--fail-if '{text}': ")
    assert complaint in str(caught.value)


def test_a_gate_replaces_the_default_of_its_metric():
    base, head = cell([100 * MIB] * 5), cell([110 * MIB] * 5)
    assert compared(base, head).exit_code == 3
    wider = default_gates().with_gates(fail_if("net_peak_bytes:+20%"))
    assert compared(base, head, wider).exit_code == 0


def test_more_is_better_fails_downwards():
    gates = Gates({"samples_per_second": fail_if("samples_per_second:-10%")})
    for factor, code in ((0.8, 3), (0.95, 0), (1.5, 0)):
        base = cell([1000.0, 1001, 999, 1000, 1002], "samples_per_second")
        head = [v * factor for v in (1001.0, 1000, 1000, 999, 1001)]
        assert compared(base, cell(head, "samples_per_second"), gates).exit_code == code


@pytest.mark.parametrize(
    ("base", "head", "complaint"),
    [
        ("stored_bytes", "stored_bytes", "neither side has a value of it"),
        ("stored_bytes", "net_peak_bytes", "BASE has no value of it"),
        ("net_peak_bytes", "stored_bytes", "HEAD has no value of it"),
    ],
)
def test_a_named_gate_has_something_to_compare(base, head, complaint):
    """PASSED would say that it held."""
    sides = [
        [
            record(trial(seed=seed), measures={name: MIB, "neurons": 3, "stored_bytes": 8})
            for seed in range(5)
        ]
        for name in (base, head)
    ]
    gates = resolve_gates(None, ["net_peak_bytes:+5%"], None, None, False, default_gates())
    with pytest.raises(GateError) as caught:
        compared(*sides, gates)
    assert str(caught.value) == (
        f"gate 'net_peak_bytes': in the cells of both, {complaint}, so it can decide nothing. "
        "Both have: neurons, stored_bytes"
    )
    assert compared(*sides).exit_code == 0
    assert compared(sides[0], failed(range(5), "error"), gates).exit_code == 3


def test_a_named_gate_needs_a_cell_with_both_sides():
    base = [*cell([MIB] * 5), *cell([8] * 5, "stored_bytes", size=3)]
    head = [*cell([8] * 5, "stored_bytes"), *cell([MIB] * 5, size=3)]
    gates = resolve_gates(None, ["net_peak_bytes:+5%"], None, None, False, default_gates())
    with pytest.raises(GateError, match=r"none has values of it on both, .* have: none"):
        compared(base, head, gates)


def test_every_metric_of_a_claim_can_be_compared():
    names = [metric.name for metric in Metrics().of_trials()]
    for name in names:
        if METRICS[name].scale != "exact":
            assert fail_if(f"{name}: {'-' if METRICS[name].better > 0 else '+'}1").floor > 0
    assert all(fail_if(f"{n}: exact").exact for n in names if METRICS[n].scale == "exact")
    assert "learning_rate" not in names
    assert MACHINE["id"]
