"""Trials as pytest tests, and a fixture that runs suites and compares runs.

    pytest --sparsebench smoke --sparsebench-args="--quick --seeds 0:2"

Every pytest in an environment with sparsebench loads this module, so it imports only pytest
until a suite or the fixture is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_sparsebench.bench import Bench


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sparsebench")
    group.addoption(
        "--sparsebench", metavar="SUITE", action="append", default=[],
        help="Run the trials of SUITE (a name or a file) as tests; repeatable.",
    )  # fmt: skip
    group.addoption(
        "--sparsebench-args", metavar="OPTIONS", default="",
        help="Options of `sparsebench run`, as one word: '--quick --seeds 0:3 --store DIR'.",
    )  # fmt: skip
    group.addoption(
        "--sparsebench-only", action="store_true", help="Collect trials, and no other test."
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("sparsebench"):
        from pytest_sparsebench.suite_runs import SuiteRuns

        config.pluginmanager.register(SuiteRuns(config), "sparsebench-suites")
    elif config.getoption("sparsebench_only") or config.getoption("sparsebench_args"):
        raise pytest.UsageError(
            "--sparsebench-only and --sparsebench-args are for the trials of a suite: add "
            "--sparsebench SUITE"
        )


@pytest.fixture
def sparsebench(tmp_path: Path) -> Bench:
    """Provides `sparsebench.run(suite)` and `sparsebench.compare(base, head)`, which fail the test
    if a trial or a gate fails. Each test has its own store, unless `store=` names another."""
    from pytest_sparsebench.bench import Bench

    return Bench(tmp_path / "store")
