"""Installed plugins that hang for a while at their import, or fail there: nobody else is hurt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = """
import time
from pathlib import Path
Path({mark!r}).touch()
time.sleep(1.5)
"""
FAILS = """
from pathlib import Path
Path({mark!r}).touch()
raise RuntimeError("not today")
"""


@pytest.fixture(
    params=[pytest.param(SLOW, marks=pytest.mark.minutes), FAILS], ids=["slow", "fails"]
)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], Path]:
    """The environment in which a distribution with such a plugin is installed; and the file that
    tells of its import."""
    site, mark = tmp_path / "site", tmp_path / "imported"
    facts = site / "strange-0.1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 0.1\n")
    (facts / "entry_points.txt").write_text("[sparsebench]\nstrange = strange_plugin\n")
    (site / "strange_plugin.py").write_text(request.param.format(mark=str(mark)))
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}, mark


def ask(variables: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sparsebench", *words],
        capture_output=True, text=True, env=variables, cwd=folder, timeout=120, check=False,
    )  # fmt: skip


def test_help_does_not_import_it(installed: tuple[dict[str, str], Path], folder: Path) -> None:
    variables, mark = installed
    for words in (["--help"], ["run", "--help"], ["--version"]):
        done = ask(variables, folder, *words)
        assert done.returncode == 0, done.stderr
        assert not mark.exists()


def test_listings_and_suites_work_beside_it(
    installed: tuple[dict[str, str], Path], folder: Path
) -> None:
    variables, mark = installed
    done = ask(variables, folder, "ls", "backends")
    assert done.returncode == 0, done.stderr
    assert "numba-csr" in done.stdout
    assert mark.exists()
    listed = ask(variables, folder, "ls", "plugins")
    assert listed.returncode == 0
    assert "strange" in listed.stdout
    done = ask(variables, folder, "run", "tiny.toml", "--quick", "--no-plan", "--no-audit")
    assert done.returncode == 0, done.stderr
