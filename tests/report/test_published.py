import math

import pytest
from records import SET, STATIC, FakeRun, make_record, make_trial

from sparsebench.analysis.claims import Judged, check, judge
from sparsebench.analysis.number_format import in_unit, one
from sparsebench.analysis.report_data import report_data
from sparsebench.analysis.statistics import Spread
from sparsebench.metrics import BUILT_IN
from sparsebench.report.claims import (
    against,
    compared_table,
    published_table,
    sections,
)
from sparsebench.report.markdown_blocks import printed

VALUE = """
name = "demo"
[[claims]]
text = "SET reaches"
metric = "test_accuracy"
where = { topology = "set" }
value = 0.88
std = 0.01
n = 5
source = "Table 2"
"""
SIDES = """
name = "demo"
[[claims]]
text = "SET is ahead"
metric = "test_accuracy"
where = { topology = "set" }
against = { topology = "static" }
"""


def rows(table, records, suite):
    return printed(table(judge(report_data([FakeRun(records, suite_text=suite)])))).splitlines()[2:]


def accurate(values, **changed):
    return [
        make_record(make_trial(seed=seed, **changed), measures={"test_accuracy": value})
        for seed, value in enumerate(values)
    ]


def test_published_stands_beside_measured():
    assert rows(published_table, accurate([0.90, 0.92]), VALUE) == [
        "| SET reaches | too few seeds | 2 seeds, and a verdict needs 5: compared only | Table 2 "
        "| set, numba-csr | test_accuracy | 88.0 ± 1.0 % (n = 5) "
        "| 91.0 ± 1.4 % | 2 | +3.00 points |"
    ]
    (row,) = rows(published_table, accurate([0.88, 0.89, 0.87, 0.885, 0.875]), VALUE)
    assert row.startswith(
        "| SET reaches | cannot tell | superiority, 90 % interval "
        "\\[-1.07 points, +1.07 points\\], p 0.500; the claim gives no tolerance | Table 2 |"
    )


def test_seconds_and_bytes_are_in_a_unit_that_fits():
    suite = VALUE.replace("test_accuracy", "epoch_seconds").replace("0.88", "180.0")
    suite = suite.replace("std = 0.01\nn = 5\n", "")
    (row,) = rows(published_table, [make_record(make_trial())], suite)
    assert "| epoch_seconds | 3.00 min | 12.0 ms | 1 | 15,000 times as fast |" in row
    assert in_unit(BUILT_IN["net_peak_bytes"], one(3 * 2**20)) == "3.00 MiB"
    assert in_unit(BUILT_IN["connections"], one(7000)) == "7,000"
    assert in_unit(BUILT_IN["samples_per_second"], one(120000)) == "120 k"
    assert in_unit(BUILT_IN["density"], one(0.123456)) == "12.3 %"


@pytest.mark.parametrize(
    ("name", "ours", "other", "shown"),
    [
        ("test_accuracy", 0.87, 0.88, "-1.00 points"),
        ("test_accuracy", 0.88, 0.88, "0.00 points"),
        ("wall_seconds", 2.0, 4.0, "2.0 times as fast"),
        ("wall_seconds", 4.0, 2.0, "2.0 times as long"),
        ("net_peak_bytes", 1.0, 4.0, "25 % of the memory"),
        ("test_loss", 3.0, 2.0, "1.50 times as much"),
        ("wall_seconds", 2.0, math.nan, "–"),
    ],
)
def test_accuracies_differ_in_points_and_others_by_a_factor(name, ours, other, shown):
    sides = (Spread(mean, math.nan, 1) for mean in (ours, other))
    assert against(Judged({}, BUILT_IN[name], "", "", *sides)) == shown


def test_missing_and_failed_trials_say_so():
    (row,) = rows(published_table, accurate([0.9], topology=STATIC), VALUE)
    assert "|  | test_accuracy | 88.0 ± 1.0 % (n = 5) | – | no trial | – |" in row
    failed = [make_record(make_trial(seed=s), "out-of-memory") for s in (7, 8)]
    (row,) = rows(published_table, failed, VALUE)
    assert "| – | 2 out-of-memory | – |" in row
    (row,) = rows(published_table, [*accurate([0.9]), *failed], VALUE)
    assert "| 90.00 % | 1, 2 out-of-memory | +2.00 points |" in row


def test_cells_that_a_claim_does_not_tell_apart_are_rows():
    records = accurate([0.9]) + accurate([0.8], backend={"name": "scipy-csr"})
    assert [row.split(" | ")[4] for row in rows(published_table, records, VALUE)] == [
        "set, numba-csr",
        "set, scipy-csr",
    ]


def test_sides_are_paired_by_what_the_claim_does_not_name():
    scipy = {"name": "scipy-csr"}
    records = [
        *accurate([0.90, 0.92], topology=SET), *accurate([0.89], topology=STATIC),
        *accurate([0.8], topology=SET, backend=scipy),
    ]  # fmt: skip
    assert rows(compared_table, records, SIDES) == [
        "| SET is ahead | too few seeds | 1 seed, and a verdict needs 5: compared only |  "
        "| test_accuracy | set, numba-csr | static, numba-csr | 91.0 ± 1.4 % | 2 "
        "| 89.00 % | 1 | +2.00 points |",
        "| SET is ahead | not run | no trial |  | test_accuracy | set, scipy-csr |  | 80.00 % "
        "| 1 | – | no trial | – |",
    ]


def test_a_claim_of_two_runs_is_one():
    runs = [
        FakeRun(accurate([0.9]), suite_text=VALUE),
        FakeRun(accurate([0.9, 0.92])[1:], id="later", suite_text=VALUE),
    ]
    (row,) = printed(published_table(judge(report_data(runs)))).splitlines()[2:]
    assert "| 91.0 ± 1.4 % | 2 |" in row


def test_verdicts_are_those_of_check_and_are_counted_first():
    suite = VALUE.replace("n = 5", "n = 5\ntolerance = 0.02")
    good, bad = [0.88, 0.882, 0.879, 0.881, 0.88], [0.78, 0.782, 0.779, 0.781, 0.78]
    scipy = {"name": "scipy-csr"}
    run = FakeRun([*accurate(good), *accurate(bad, backend=scipy)], suite_text=suite)
    (section,) = sections(report_data([run]))
    sentence, table, note, tested = section.blocks
    assert section.title == "Published and measured"
    assert sentence == "2 verdicts: 1 holds, 1 fails."
    cells = [row.split(" | ") for row in printed(table).splitlines()[2:]]
    assert [(row[1], row[4]) for row in cells] == [
        ("holds", "set, numba-csr"), ("**fails**", "set, scipy-csr"),
    ]  # fmt: skip
    assert [row.verdict for row in check(run)] == ["holds", "fails"]
    assert "(Holm)" in tested
    assert "less the tolerance" in note


@pytest.mark.parametrize("where", ["topolgy = 'set'", "seed.x = 1"])
def test_a_claim_of_a_key_that_is_no_more_finds_no_trial(where):
    suite = VALUE.replace('topology = "set"', where)
    assert "no trial" in rows(published_table, accurate([0.9]), suite)[0]
