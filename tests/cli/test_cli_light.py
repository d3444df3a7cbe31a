"""What only lists imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sparsebench.core.status import Status
from sparsebench.run.fingerprint import fingerprint
from sparsebench.run.request import resolve
from sparsebench.store.record import Record
from sparsebench.store.store import Store

HEAVY = ("numba", "pandas", "scipy", "torch", "matplotlib", "numpy", "sklearn")

LIGHT = (
    "--help", "run --help", "ls", "ls datasets", "ls backends", "plan tiny.toml",
    "validate tiny.toml", "run tiny.toml --dry-run",
)  # fmt: skip

PROBE = f"""
import contextlib, io, sys
from sparsebench.cli import main
for line in {LIGHT}:
    code = 0
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            main(line.split())
    except SystemExit as ended:
        code = ended.code
    print(line, code, [name for name in {HEAVY} if name in sys.modules])
"""


def keep_records(suite: Path) -> None:
    """A record for each of its trials, so that listing them has something to read."""
    request = resolve(suite)
    store = Store(Path(".sparsebench"))
    for trial in request.trials:
        today = fingerprint(trial, request.plugins)
        kept = Record(trial=trial, attempt=1, status=Status.OK, fingerprint=today)
        store.finish(store.begin(trial, fingerprint=today), kept)


def test_nothing_heavy_is_imported(folder: Path) -> None:
    """By one command after the other, in one process."""
    keep_records(folder / "tiny.toml")
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True, text=True, timeout=60, cwd=folder, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{line} 0 []" for line in LIGHT], done.stderr


def test_a_trial_starts_without_what_only_the_command_needs() -> None:
    """Its process reads its job and the plugins before numpy is there, and never needs pydantic."""
    script = (
        "import sys; from sparsebench.discovery import load_plugins; load_plugins()\n"
        "import sparsebench.core.worker.attempt\n"
        "print([name for name in ('pydantic', 'pandas', 'numpy', 'numba') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_python_m_sparsebench(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sparsebench", "ls", "nothing"],
        capture_output=True, text=True, timeout=60, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ls: unknown kind 'nothing'.")
