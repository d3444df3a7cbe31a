"""Identical code compared with itself raises no alarm beyond alpha; real changes are found.

Everything goes through `compare`: records in, verdicts out, exit code and all.
"""

import numpy as np
import pytest
from binomial import at_most
from records import compared, run_of, verdicts

SHUFFLES = 100


def test_identical_code_seldom_fails_a_gate():
    """Family-wise, over six cells and all metrics that can fail."""
    alarms = strict = 0
    for shuffle in range(SHUFFLES):
        rng = np.random.default_rng([1, shuffle])
        found = compared(run_of(rng), run_of(rng))
        alarms += found.exit_code == 3
        strict += any(str(one.verdict) in ("worse", "better") for one in found.findings)
    assert at_most(alarms, SHUFFLES, 0.05)
    assert at_most(strict, SHUFFLES, 0.15)  # three measured metrics, two sides, warnings too


def test_identical_code_without_thresholds_keeps_to_alpha():
    """With no threshold to help, the tests alone: at `any change`, one metric, both sides."""
    from sparsebench.analysis.gates import Gate, Gates
    from sparsebench.metrics import BUILT_IN

    gates = Gates({"test_accuracy": Gate(BUILT_IN["test_accuracy"])})
    alarms = 0
    for shuffle in range(200):
        rng = np.random.default_rng([2, shuffle])
        found = compared(run_of(rng), run_of(rng), gates)
        alarms += any(str(one.verdict) in ("worse", "better") for one in found.findings)
    assert at_most(alarms, 200, 0.05)
    assert alarms > 1


def test_halves_of_one_run_are_no_regression():
    """Ten seeds, split in two at random: other seeds on either side, so Welch's test."""
    every = run_of(np.random.default_rng(3), range(10))
    alarms = 0
    for shuffle in range(SHUFFLES):
        order = np.random.default_rng([4, shuffle]).permutation(10)
        left = [record for record in every if record.trial.seed in order[:5]]
        right = [record for record in every if record.trial.seed in order[5:]]
        alarms += compared(left, right).exit_code == 3
    assert at_most(alarms, SHUFFLES, 0.05)


@pytest.mark.parametrize("shuffle", range(20))
def test_ten_percent_more_memory_is_caught(shuffle):
    rng = np.random.default_rng([5, shuffle])
    found = compared(run_of(rng), run_of(rng, memory=1.1))
    assert verdicts(found, "net_peak_bytes") == ["worse"] * 6
    assert found.exit_code == 3


@pytest.mark.parametrize("shuffle", range(20))
def test_a_point_of_accuracy_is_caught(shuffle):
    """A loss of one point in each cell, at a standard deviation of 0.3 points, five seeds."""
    rng = np.random.default_rng([6, shuffle])
    found = compared(run_of(rng), run_of(rng, accuracy=-0.01))
    assert "worse" in verdicts(found, "test_accuracy")
    assert found.exit_code == 3


def test_slower_in_noise_is_not_called_fine():
    """30 % slower at a coefficient of variation of 20 %: five seeds cannot tell."""
    said = []
    for shuffle in range(50):
        rng = np.random.default_rng([7, shuffle])
        found = compared(run_of(rng), run_of(rng, time=1.3))
        said += verdicts(found, "epoch_seconds")
        assert found.exit_code == 0  # time only warns
    assert said.count("cannot tell") > 0.8 * len(said)
    assert said.count("ok") < 0.05 * len(said)


def test_twice_as_slow_is_a_warning_and_with_a_time_gate_a_failure():
    from sparsebench.analysis.gates import default_gates

    rng = np.random.default_rng(8)
    base, head = run_of(rng, time_cv=0.05), run_of(rng, time_cv=0.05, time=2.0)
    found = compared(base, head)
    assert verdicts(found, "epoch_seconds") == ["worse"] * 6
    assert found.exit_code == 0
    assert compared(base, head, default_gates().failing_on_time()).exit_code == 3


def test_better_is_seen_too():
    rng = np.random.default_rng(9)
    found = compared(run_of(rng), run_of(rng, memory=0.8, accuracy=0.02))
    assert verdicts(found, "net_peak_bytes") == ["better"] * 6
    assert "better" in verdicts(found, "test_accuracy")
    assert "worse" not in verdicts(found, "test_accuracy")
    assert found.exit_code == 0
