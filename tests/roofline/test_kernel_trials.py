"""Trials that time a kernel, in processes of their own, and what becomes of their numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import sparsebench
from sparsebench.errors import SuiteError
from sparsebench.store.export_formats import to_pytest_benchmark
from sparsebench.store.store import Store

SUITE = """
schema = 1
name = "tiny-kernels"

[trial]
dataset = "wine"
model = { hidden = [24, 24], activation = "relu" }
topology = { name = "set", epsilon = 3 }
trainer = { name = "kernel", kernel = "forward", repeats = 3 }
backend = "scipy-csr"
epochs = 1
batch_size = 4
threads = 1

[grid]
seed = [0, 1]
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    file = tmp_path / "tiny-kernels.toml"
    file.write_text(SUITE)
    return file


@pytest.mark.slow
def test_kernel_trials_end_to_end(suite_file: Path, tmp_path: Path) -> None:
    run = sparsebench.run(suite_file, store=tmp_path / "store")
    assert run.summary is not None
    assert run.summary.exit_code == 0
    frame = run.trials().set_index("kernel")
    assert list(frame["status"]) == ["ok"] * 2

    forward = frame.loc["forward"].iloc[0]
    assert forward["bound"].startswith(("narrow gather", "stream", "flops"))
    assert forward["neurons"] == 13 + 24 + 24 + 3
    for name in ("kernel_seconds", "bytes_per_second", "flops_per_second", "start_seconds",
                 "gather_bytes_per_second", "memory_bytes_per_second"):  # fmt: skip
        assert forward[name] > 0
    assert math.isnan(forward["test_accuracy"])

    text = run.report("md")
    assert "## Kernels" in text
    assert "| forward | set | scipy-csr | 64 |" in text
    assert "## Accuracy" not in text

    stored = Store(run.store).run(run.id)
    file = tmp_path / "run.json"
    file.write_bytes(to_pytest_benchmark(stored))
    (one,) = json.loads(file.read_text())["benchmarks"]
    assert (one["group"], one["stats"]["rounds"]) == ("forward", 6)
    assert one["extra_info"]["seeds"] == [0, 1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", str(file)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert one["name"] in done.stdout


def test_a_misspelt_kernel_is_one_line(suite_file: Path) -> None:
    suite_file.write_text(SUITE.replace('kernel = "forward"', 'kernel = "fordward"'))
    with pytest.raises(SuiteError) as raised:
        sparsebench.run(suite_file)
    assert "\n" not in str(raised.value)
    assert "fordward" in str(raised.value)
    assert "'forward'" in str(raised.value)
