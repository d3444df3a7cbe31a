import math

import numpy as np
import pytest
from records import FakeRun, make_record, make_trial

from sparsebench.analysis.report_data import report_data
from sparsebench.analysis.statistics import interquartile
from sparsebench.report.markdown import report
from sparsebench.report.markdown_blocks import printed
from sparsebench.report.results import interquartile_table


def test_worked_numbers():
    """Of 0, 1, ..., 6, 100 the lowest two and the highest two go: the mean of 2, 3, 4, 5."""
    mean, (low, high) = interquartile([100.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert mean == 3.5
    assert low < 3.5 < high


def test_few_values_and_equal_values():
    assert interquartile([1.0] * 7) is None
    mean, interval = interquartile([0.3] * 8)
    assert (mean, *interval) == (pytest.approx(0.3),) * 3
    # its middle half does not move with one value out
    mean, (low, _) = interquartile([0.9] * 7 + [0.8])
    assert mean == pytest.approx(0.9)
    assert math.isnan(low) or low <= 0.9


def test_the_interval_covers_the_middle_of_a_symmetric_law():
    """At 95 % nominal, 100 draws of 10 normal values: the bootstrap of few values is too narrow,
    but not by much."""
    rng = np.random.default_rng(3)
    found = [interquartile(rng.normal(size=10).tolist()) for _ in range(100)]
    assert np.mean([low < 0 < high for _, (low, high) in found]) >= 0.85


def test_the_report_has_it_from_eight_seeds_on(tmp_path):
    def run(seeds):
        return FakeRun([
            make_record(make_trial(seed=s), measures={"test_accuracy": 0.9 + 0.001 * s})
            for s in range(seeds)
        ], suite_text="name = 'demo'")  # fmt: skip

    assert interquartile_table(report_data([run(7)])) is None
    (line,) = printed(interquartile_table(report_data([run(8)]))).splitlines()[2:]
    row = line.strip("| ").split(" | ")
    assert row[:3] == ["set", "numba-csr", "90.35 %"]
    assert "interquartile mean" in report([run(8)], tmp_path)
    assert not math.isnan(float(row[3].split(" %")[0]))
