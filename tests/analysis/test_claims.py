import json

import numpy as np
import pytest
from binomial import at_most
from records import FakeRun
from records import cell_trial as trial
from records import measured as record

from sparsebench.analysis.claims import Holds, check, exit_code
from sparsebench.report.claims import as_markdown, as_text, to_json

VALUE = """
[[claims]]
text = "SET reaches 88 %"
metric = "{metric}"
where = {{ backend = "numba-csr" }}
value = {value}
tolerance = {tolerance}
source = "Table 2"
{more}
"""

SIDES = """
[[claims]]
text = "numba is at least as good"
metric = "{metric}"
where = {{ backend = "numba-csr" }}
against = {{ backend = "scipy-csr" }}
tolerance = {tolerance}
"""


def published(value=0.88, tolerance=0.01, metric="test_accuracy", more=""):
    return VALUE.format(value=value, tolerance=tolerance, metric=metric, more=more)


def sides(tolerance=0.01, metric="test_accuracy"):
    return SIDES.format(tolerance=tolerance, metric=metric)


def measured(values, metric="test_accuracy", seeds=range(100), **changed):
    return [
        record(trial(seed=seed, **changed), measures={metric: value})
        for seed, value in zip(seeds, values)
    ]


def judged(records, suite):
    (row,) = check(FakeRun(records, suite_text=suite))
    return row


@pytest.mark.parametrize(
    ("values", "verdict", "word", "code"),
    [
        ([0.879, 0.881, 0.880, 0.882, 0.878], "holds", "reproduced", 0),
        ([0.929, 0.931, 0.930, 0.932, 0.928], "holds", "better", 0),
        ([0.829, 0.831, 0.830, 0.832, 0.828], "fails", "worse", 4),
        ([0.85, 0.91, 0.88, 0.86, 0.90], "cannot tell", "inconclusive", 6),
        ([0.88], "too few seeds", "inconclusive", 6),
        ([0.879, 0.881, 0.880, 0.882], "too few seeds", "inconclusive", 6),
        ([0.88] * 5, "holds", "reproduced", 0),
    ],
)
def test_a_published_value(values, verdict, word, code):
    row = judged(measured(values), published())
    assert (str(row.verdict), str(row.reproduction)) == (verdict, word)
    assert exit_code([row]) == code


def test_a_published_spread_counts_and_an_unknown_one_is_taken_to_be_ours():
    values = [0.882, 0.876, 0.888, 0.879, 0.885]
    many = judged(measured(values), published(more="std = 0.004\nn = 5"))
    one = judged(measured(values), published())
    assert (many.verdict, one.verdict) == (Holds.HOLDS, Holds.HOLDS)
    assert one.p > many.p
    assert "one published seed is not known" in one.reason
    spread = judged(measured(values), published(more="std = 0.02\nn = 3"))
    assert spread.verdict is Holds.CANNOT_TELL
    assert spread.other.sd == 0.02
    noisy = [0.895, 0.865, 0.90, 0.885, 0.87]
    assert judged(measured(noisy), published(0.87)).verdict is Holds.CANNOT_TELL


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ([0.90, 0.85, 0.95, 0.80, 0.7], [0.90, 0.851, 0.949, 0.80, 0.7], "holds"),
        ([0.95, 0.90, 0.99, 0.85, 0.7], [0.90, 0.851, 0.949, 0.80, 0.7], "holds"),
        ([0.85, 0.80, 0.90, 0.75, 0.65], [0.90, 0.851, 0.949, 0.80, 0.7], "fails"),
        ([0.80, 0.95, 0.85, 0.90, 0.7], [0.90, 0.851, 0.949, 0.80, 0.7], "cannot tell"),
        ([0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5], "holds"),
        ([0.9, 0.8], [0.85, 0.75], "too few seeds"),
    ],
)
def test_two_sides_are_paired_by_seed(ours, theirs, verdict):
    records = [*measured(ours), *measured(theirs, backend="scipy-csr")]
    assert str(judged(records, sides()).verdict) == verdict


def test_equal_differences_are_no_certainty():
    """Five seeds that differ by the same, but for rounding, may do so with p = 1/32."""
    ours, theirs = [0.90, 0.91, 0.92, 0.93, 0.94], [0.85, 0.86, 0.87, 0.88, 0.89]
    records = [*measured(ours), *measured(theirs, backend="scipy-csr")]
    row = judged(records, sides())
    assert (row.verdict, row.p) == (Holds.HOLDS, 0.5**5)
    assert "sign test" in row.reason
    two = check(FakeRun(records, suite_text=sides() + sides(0.02)))
    assert [str(row.verdict) for row in two] == ["cannot tell"] * 2


def test_the_p_and_the_interval_are_of_what_is_said():
    """The interval excludes the margin where the adjusted p is below alpha, and only there."""
    records = [
        *measured([0.90, 0.85, 0.95, 0.80, 0.7]),
        *measured([0.905, 0.852, 0.959, 0.806, 0.709], backend="scipy-csr"),
    ]
    for tolerance in np.linspace(0.002, 0.012, 11).tolist():
        suite = sides(tolerance) + sides(0.5) + published(0.84, 0.2)
        row, *_ = check(FakeRun(records, suite_text=suite))
        low, high = row.interval
        assert (row.verdict is Holds.HOLDS) == (row.p < 0.05 and low > -tolerance)
        assert (row.verdict is Holds.FAILS) == (row.p < 0.05 and high < -tolerance)
        assert (low > -tolerance or high < -tolerance) == (row.p < 0.05)


REQUIRES = 'requires = {{ epochs = {}, "model.hidden" = [{}] }}'


@pytest.mark.parametrize("side", [published(), sides()])
def test_other_trials_than_a_claim_requires_are_not_judged(side):
    records = [*measured([0.7] * 5), *measured([0.7] * 5, backend="scipy-csr")]
    epochs = records[0].trial.epochs
    judged_rows = judged(records, side + REQUIRES.format(epochs, "100, 100"))
    assert judged_rows.verdict is not Holds.NOT_RUN
    row = judged(records, side + REQUIRES.format(200, 7))
    assert (row.verdict, row.p) == (Holds.NOT_RUN, None)
    assert row.reason == (
        f"epochs is {epochs} where the claim needs 200; model.hidden is 100-100 where the claim "
        "needs 7"
    )
    assert exit_code([row]) == 6


def test_disturbed_times_decide_nothing():
    def timed(value, seed, marks=(), **changed):
        measures = {"epoch_seconds": value + 0.01 * seed, "test_accuracy": 0.9 + 0.001 * seed}
        noise = {"marks": list(marks)}
        return record(trial(seed=seed, **changed), measures=measures, noise=noise)

    theirs = [timed(2.0, seed, backend="scipy-csr") for seed in range(5)]
    quiet = [timed(1.0 + 0.001 * seed**2, seed) for seed in range(5)]
    assert judged([*quiet, *theirs], sides(0.0, "epoch_seconds")).verdict is Holds.HOLDS
    loud = [*quiet[:4], timed(1.0, 4, ["load"])]
    row = judged([*loud, *theirs], sides(0.0, "epoch_seconds"))
    assert (row.verdict, row.p) == (Holds.CANNOT_TELL, None)
    assert row.reason.startswith("1 of 10 trials ran while the machine was disturbed (load)")
    assert judged([*loud, *theirs], sides(0.01)).p is not None  # accuracy is not disturbed


def test_coin_tosses_decide_nothing():
    facts = {"guess": {"test_accuracy": 0.5}, "test_samples": 50}
    for level, verdict in ((0.5, Holds.CANNOT_TELL), (0.9, Holds.HOLDS)):
        records = [
            record(trial(seed=seed, backend=backend), settings=facts,
                   measures={"test_accuracy": level + 0.001 * (-1) ** seed + 0.0001 * seed * shift})
            for seed in range(5) for shift, backend in enumerate(("numba-csr", "scipy-csr"))
        ]  # fmt: skip
        row = judged(records, sides())
        assert row.verdict is verdict
        assert ("chance" in row.reason) == (verdict is Holds.CANNOT_TELL)


def test_two_sides_without_common_seeds():
    ours, theirs = [0.90, 0.91, 0.92, 0.90, 0.91], [0.80, 0.81, 0.82, 0.80, 0.81]
    others = [7, 8, 9, 10, 11]
    records = [*measured(ours), *measured(theirs, backend="scipy-csr", seeds=others)]
    assert judged(records, sides()).verdict is Holds.HOLDS
    records = [*measured(theirs), *measured(ours, backend="scipy-csr", seeds=others)]
    assert judged(records, sides()).verdict is Holds.FAILS


def test_less_is_better_of_memory():
    ours, theirs = [100.0, 101, 102, 100, 99], [200.0, 201, 202, 200, 198]
    few, many = (
        [
            *measured(one, "net_peak_bytes"),
            *measured(other, "net_peak_bytes", backend="scipy-csr"),
        ]
        for one, other in ((ours, theirs), (theirs, ours))
    )
    assert judged(few, sides(5, "net_peak_bytes")).verdict is Holds.HOLDS
    assert judged(many, sides(5, "net_peak_bytes")).verdict is Holds.FAILS


@pytest.mark.parametrize(("value", "verdict"), [(100, "holds"), (101, "holds"), (110, "fails")])
def test_counts_are_within_the_tolerance_or_not(value, verdict):
    row = judged(measured([100.0], "connections"), published(value, 1, "connections"))
    assert str(row.verdict) == verdict
    assert row.p is None


@pytest.mark.parametrize(
    ("metric", "ours", "said"),
    [
        ("epoch_seconds", 9.1, "9.1 times as long, on another machine"),
        ("epoch_seconds", 0.0039, "256 times as fast, on another machine"),
        ("samples_per_second", 20.0, "20 times as fast, on another machine"),
        ("net_peak_bytes", 3.0, "3.0 times as much memory, on another machine"),
        ("stored_bytes", 0.04, "4.0 % of the memory, on another machine"),
    ],
)
def test_time_and_memory_of_another_machine_are_never_judged(metric, ours, said):
    row = judged(measured([ours] * 5, metric), published(1.0, 0.1, metric))
    assert (row.verdict, row.reason) == (Holds.SHOWN, said)
    assert exit_code([row]) == 6
    shape = 'conditions = "data generated to the same shape"'
    row = judged(measured([ours], metric), published(1.0, 0.1, metric, more=shape))
    assert row.reason == f"{said} and data generated to the same shape"
    assert " 0.0" not in as_text([row]).partition("against")[2]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (measured([0.9] * 3, backend="scipy-csr"), "no trial"),
        ([record(trial(seed=s), "timeout") for s in range(2)], "2 timeout"),
    ],
)
def test_what_did_not_run(records, reason):
    row = judged(records, published())
    assert (row.verdict, row.reason) == (Holds.NOT_RUN, reason)
    assert exit_code([row]) == 6


def test_pairs_are_equal_but_for_what_the_claim_names():
    records = [
        record
        for size, shift in ((100, 0.0), (300, 0.2))
        for backend in ("numba-csr", "scipy-csr")
        for record in measured([0.01 * n + shift for n in range(60, 66)], size=size,
                               backend=backend)
    ]  # fmt: skip
    rows = check(FakeRun(records, suite_text=sides()))
    assert [str(row.verdict) for row in rows] == ["holds", "holds"]
    assert exit_code(rows) == 0


def test_methods_on_one_grid_of_densities_are_compared_density_by_density():
    def trials(method, densities):
        return [
            record(trial(seed=seed, topology={"name": method, "density": one, "prune": None}),
                   measures={"test_accuracy": 0.9 + 0.001 * seed + one / 10})
            for one in densities for seed in range(6)
        ]  # fmt: skip

    claim = SIDES.format(metric="test_accuracy", tolerance=0.02)
    claim = claim.replace('backend = "numba-csr"', 'topology = "set"')
    claim = claim.replace('backend = "scipy-csr"', 'topology = "static"')
    both = [*trials("set", (0.05, 0.1)), *trials("static", (0.05, 0.1))]
    rows = check(FakeRun(both, suite_text=claim))
    assert [(row.trials, row.against) for row in rows] == [
        ("set (density=0.05), numba-csr", "static (density=0.05), numba-csr"),
        ("set (density=0.1), numba-csr", "static (density=0.1), numba-csr"),
    ]
    one = [*trials("set", (0.05, 0.1)), *trials("static", (0.05,))]  # stands for both
    assert len(check(FakeRun(one, suite_text=claim))) == 2
    other = [*trials("set", (0.05, 0.1)), *trials("static", (0.1, 0.2))]
    rows = check(FakeRun(other, suite_text=claim))
    assert [str(row.verdict) for row in rows] == ["not run", "holds"]


def test_a_suite_without_claims():
    rows = check(FakeRun(measured([0.9]), suite_text='name = "demo"'))
    assert (rows, exit_code(rows)) == ([], 5)


def test_a_claim_that_just_holds_seldom_fails():
    """At the very margin, over eight cells: the family-wise error of saying "fails"."""
    alarms = 0
    for simulation in range(60):
        rng = np.random.default_rng([1, simulation])
        records = [
            record
            for size in range(1, 9)
            for record in measured(0.87 + 0.004 * rng.normal(size=5), size=size)
        ]
        alarms += exit_code(check(FakeRun(records, suite_text=published()))) == 4
    assert at_most(alarms, 60, 0.05)


def test_shown_and_as_json():
    records = [*measured([0.80, 0.81, 0.82, 0.79, 0.8]), *measured([0.9], backend="scipy-csr")]
    suite = published() + sides() + published(1.0, 0.1, "epoch_seconds")
    rows = check(FakeRun(records, suite_text=suite.replace("88 %", "88 % \\u001b[2J |")))
    text, page = as_text(rows), as_markdown(rows)
    assert "FAILS: SET reaches 88 % \\x1b[2J" in text
    assert "90 % interval [" in text
    assert "\x1b" not in text + page
    assert "non-inferiority at a tolerance of 1.00 points" in text
    assert page.startswith("### sparsebench check: 1 fails, 1 too few seeds, 1 not run")
    data = json.loads(json.dumps(to_json("r", rows), allow_nan=False))
    assert [one["verdict"] for one in data["claims"]] == ["fails", "too few seeds", "not run"]
    assert data["exit_code"] == 4


def test_the_second_side_may_have_another_metric():
    """An ensemble against a network of its own, and against its members in the same trials."""
    suite = sides(0.0, "best_test_accuracy") + 'against_metric = "test_accuracy"\n'
    ours = measured([0.93, 0.95, 0.95, 0.93, 0.94], "best_test_accuracy", backend="numba-csr")
    theirs = measured([0.83, 0.84, 0.85, 0.83, 0.84], backend="scipy-csr")
    row = judged(ours + theirs, suite)
    assert row.verdict is Holds.HOLDS
    assert row.against.endswith(", test_accuracy")
    both = {"best_test_accuracy": 0.93, "test_accuracy": 0.83}
    one = [record(trial(seed=seed, backend="numba-csr"), measures=both) for seed in range(5)]
    row = judged(one, suite.replace("scipy-csr", "numba-csr"))
    assert (row.ours.mean, row.other.mean) == pytest.approx((0.93, 0.83))


def test_parameters_of_a_pruning_are_keys_of_a_claim():
    suite = sides().replace('{ backend = "scipy-csr" }', '{ prune = "", backend = "numba-csr" }')
    suite = suite.replace('{ backend = "numba-csr" }\n', '{ "prune.every" = 20 }\n', 1)
    plain = trial().topology
    pruned = {**plain, "prune": {"name": "importance", "every": 20}}
    row = judged(measured([0.9] * 5, topology=pruned) + measured([0.9] * 5), suite)
    assert (row.ours.n, row.other.n) == (5, 5)
