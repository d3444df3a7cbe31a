"""A real run of ten seeds against itself, through the same path as the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from binomial import at_most
from records import compared

import sparsebench

SUITE = """
schema = 1
name = "real"
[trial]
dataset = "wine"
model = { hidden = [16] }
topology = { name = "set", epsilon = 3 }
backend = "scipy-csr"
epochs = 2
threads = 1
"""

SHUFFLES = 200


@pytest.mark.minutes
def test_shuffled_halves_of_a_real_run_are_no_regression(tmp_path: Path) -> None:
    suite = tmp_path / "real.toml"
    suite.write_text(SUITE)
    run = sparsebench.run(suite, seeds=range(10), store=tmp_path / "store", predict=False)
    records = run.records
    assert [str(record.status) for record in records] == ["ok"] * 10
    alarms = undecided = 0
    for shuffle in range(SHUFFLES):
        order = np.random.default_rng(shuffle).permutation(10)
        left = [record for record in records if record.trial.seed in order[:5]]
        right = [record for record in records if record.trial.seed in order[5:]]
        found = compared(left, right)
        alarms += found.exit_code == 3
        undecided += found.exit_code == 6
    assert at_most(alarms, SHUFFLES, 0.05)
    assert undecided == 0
    assert compared(records, records).counts() == {"same": 6}
