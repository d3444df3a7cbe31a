"""docs/compare.md says what the code does."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from records import compared, run_of

from sparsebench.analysis.comparison import Verdict
from sparsebench.analysis.gates import default_gates, read_gates
from sparsebench.analysis.statistics import detectable_in_errors
from sparsebench.report.comparison import as_text

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()


def example() -> str:
    """One cell of five seeds, after a change that takes 10 % more memory."""
    rng = np.random.default_rng(2025)
    sides = run_of(rng), run_of(rng, memory=1.1, time=1.25)
    first = sides[0][0].trial.cell
    base, head = ([one for one in side if one.trial.cell == first] for side in sides)
    return as_text(compared(base, head))


def test_the_worked_example_is_real() -> None:
    assert f"```\n{example()}\n```" in PAGE


def test_the_gates_file_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "gates.toml"
    file.write_text(text)
    found = read_gates(file)
    assert found.by_metric["epoch_seconds"].action == "fail"
    assert "neurons" not in found.by_metric


def test_every_verdict_and_default_gate_is_reported() -> None:
    for verdict in Verdict:
        assert f"{verdict}" in PAGE.partition("| verdict | means")[2].partition("\n\n")[0]
    for gate in default_gates():
        assert f"`{gate.name}`" in PAGE.partition("## The default gates")[2].partition("\n## ")[0]


def test_what_seeds_can_show_is_worked_out() -> None:
    for n in (3, 5, 10, 20):
        one, ten = (detectable_in_errors(alpha, n - 1) / math.sqrt(n) for alpha in (0.05, 0.005))
        assert f"| {n} | {one:.1f} | {ten:.1f} |" in PAGE
