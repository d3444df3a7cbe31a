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
        ([0.88], "cannot tell", "inconclusive", 6),
        ([0.88, 0.88, 0.88], "cannot tell", "inconclusive", 6),
        ([0.88] * 5, "holds", "reproduced", 0),
    ],
)
def test_a_published_value(values, verdict, word, code):
    row = judged(measured(values), published())
    assert (str(row.verdict), str(row.reproduction)) == (verdict, word)
    assert exit_code([row]) == code


def test_a_published_spread_counts():
    values = [0.885, 0.884, 0.886, 0.885, 0.885]
    assert judged(measured(values), published()).verdict is Holds.HOLDS
    spread = judged(measured(values), published(more="std = 0.02\nn = 3"))
    assert spread.verdict is Holds.CANNOT_TELL
    assert spread.other.sd == 0.02


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ([0.90, 0.85, 0.95, 0.80], [0.90, 0.851, 0.949, 0.80], "holds"),
        ([0.95, 0.90, 0.99, 0.85], [0.90, 0.851, 0.949, 0.80], "holds"),  # better is fine
        ([0.85, 0.80, 0.90, 0.75], [0.90, 0.851, 0.949, 0.80], "fails"),
        ([0.80, 0.95, 0.85, 0.90], [0.90, 0.851, 0.949, 0.80], "cannot tell"),
        ([0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5], "holds"),
    ],
)
def test_two_sides_are_paired_by_seed(ours, theirs, verdict):
    records = [*measured(ours), *measured(theirs, backend="scipy-csr")]
    assert str(judged(records, sides()).verdict) == verdict


def test_two_sides_without_common_seeds():
    ours, theirs = [0.90, 0.91, 0.92], [0.80, 0.81, 0.82]
    records = [*measured(ours), *measured(theirs, backend="scipy-csr", seeds=[7, 8, 9])]
    assert judged(records, sides()).verdict is Holds.HOLDS
    records = [*measured(theirs), *measured(ours, backend="scipy-csr", seeds=[7, 8, 9])]
    assert judged(records, sides()).verdict is Holds.FAILS


def test_less_is_better_of_memory():
    ours, theirs = [100.0, 101, 102, 100], [200.0, 201, 202, 200]
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


def test_published_times_never_gate():
    row = judged(measured([9.0, 9.1], "epoch_seconds"), published(1.0, 0.1, "epoch_seconds"))
    assert row.verdict is Holds.SHOWN
    assert "9.05 times the published" in row.reason
    assert exit_code([row]) == 6


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
        for record in measured([0.6 + shift, 0.61 + shift, 0.62 + shift], size=size,
                               backend=backend)
    ]  # fmt: skip
    rows = check(FakeRun(records, suite_text=sides()))
    assert [str(row.verdict) for row in rows] == ["holds", "holds"]
    assert exit_code(rows) == 0


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
    records = [*measured([0.85, 0.86, 0.87, 0.84, 0.85]), *measured([0.9], backend="scipy-csr")]
    suite = published() + sides() + published(1.0, 0.1, "epoch_seconds")
    rows = check(FakeRun(records, suite_text=suite.replace("88 %", "88 % \\u001b[2J |")))
    text, page = as_text(rows), as_markdown(rows)
    assert "FAILS: SET reaches 88 % \\x1b[2J" in text
    assert "90 % interval [" in text
    assert "\x1b" not in text + page
    assert page.startswith("### sparsebench check: 1 fails, 1 cannot tell, 1 not run")
    data = json.loads(json.dumps(to_json("r", rows), allow_nan=False))
    assert [one["verdict"] for one in data["claims"]] == ["fails", "cannot tell", "not run"]
    assert data["exit_code"] == 4
