"""Every exit code of the command; in a process of its own where that matters."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import command as run
from commands import plain_environment

from sparsebench.cli import EXIT_CODES

SUITE = """
schema = 1
name = "codes"
[trial]
dataset = "wine"
model = { hidden = [8] }
topology = { name = "set", epsilon = 3 }
backend = "scipy-csr"
epochs = 100
threads = 1
[grid]
seed = [0, 1, 2, 3, 4]
"""

CLAIM = """
[[claims]]
text = "nearly perfect after an epoch"
metric = "{metric}"
where = {{ topology = "set" }}
value = {value}
tolerance = {tolerance}
"""

LEARNS = """epochs = 20
optimizer = { name = "adam", learning_rate = 0.02 }"""
"""Of coin tosses no claim is decided."""

ENDLESS = '''
import time
from dataclasses import dataclass

from sparsebench import hookimpl


@dataclass(frozen=True)
class Endless:
    """Never ready."""

    def identity(self):
        return {"recipe": 1}

    def load(self):
        time.sleep(600)


@hookimpl
def register_datasets(register):
    register("endless", Endless)
'''


def process(
    folder: Path, *words: str, command: Sequence[str] = ("-m", "sparsebench")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command, *words],
        cwd=folder, env=plain_environment(folder), capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with a run of five seeds in store `base`, and one that ran out of time in `head`: its
    trials train for several looks of the supervisor."""
    work = tmp_path_factory.mktemp("codes")
    (work / "codes.toml").write_text(SUITE)
    done = run(work, "run", "codes.toml", "--store", "base", "--no-plan")
    assert done.returncode == 0, done.stderr
    done = run(work, "run", "codes.toml", "--store", "head", "--timeout", "1ms", "--no-plan",
               "--seeds", "0:2")  # fmt: skip
    assert done.returncode == 1, done.stderr
    return work


def test_0_all_good(folder: Path) -> None:
    assert run(folder, "validate", "codes.toml").returncode == 0
    done = process(folder, "compare", "base", "base")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "PASSED: no gate failed"


def test_1_a_trial_failed(folder: Path) -> None:
    done = run(folder, "run", "codes.toml", "--store", "head", "--timeout", "1ms", "--seeds",
               "0:2", "--json")  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["counts"]) == (1, {"timeout": 2})


@pytest.mark.parametrize(
    "words",
    [
        ["validate", "no-such-suite"],
        ["run"],
        ["compare", "base"],
        ["compare", "base", "no-such-run"],
        ["compare", "base", "base", "--fail-if", "net_peak_byts:+5%"],
        ["compare", "base", "base", "--gates", "no-such-file.toml"],
        ["compare", "base", "base", "--alpha", "2"],
        ["compare", "base", "base", "--min-seeds", "1"],
        ["check", "no-such-run"],
        ["run", "codes.toml", "--plugin", "no-such-plugin.py"],
        ["export", "base/", "--format", "xls"],
    ],
    ids=" ".join,
)
def test_2_not_usable(folder: Path, words: list[str]) -> None:
    done = run(folder, *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_3_a_gate_failed(folder: Path) -> None:
    done = run(folder, "compare", "base", "head")
    assert done.returncode == 3, done.stderr
    assert "newly failing !: 5 ok against 2 timeout" in done.stdout
    assert run(folder, "compare", "base", "head", "--json").returncode == 3


def claiming(folder: Path, value: float, tolerance: float) -> int:
    """The exit code of `check` on a run, reused, of a suite that claims this."""
    claim = CLAIM.format(value=value, tolerance=tolerance, metric="test_accuracy")
    (folder / "claims.toml").write_text(SUITE.replace("epochs = 100", LEARNS) + claim)
    assert run(folder, "run", "claims.toml", "--store", "claims").returncode == 0
    return run(folder, "check", "claims/").returncode


def test_4_a_claim_fails(folder: Path) -> None:
    assert claiming(folder, 7.0, 0.1) == 4
    assert claiming(folder, 0.5, 0.5) == 0


def test_5_nothing_matched(folder: Path) -> None:
    (folder / "others.toml").write_text(SUITE.replace("epochs = 100", "epochs = 2"))
    done = run(folder, "run", "codes.toml", "-k", "nothing-like-this")
    assert done.returncode == 5
    done = run(folder, "run", "others.toml", "--store", "others", "--seeds", "0:1")
    assert done.returncode == 0
    done = run(folder, "compare", "base", "others")
    assert done.returncode == 5
    assert "the most alike differ in epochs (100, 2)" in done.stderr
    done = run(folder, "check", "others/")
    assert done.returncode == 5
    assert "makes no claims" in done.stderr


def test_6_nothing_could_be_decided(folder: Path) -> None:
    (folder / "gates.toml").write_text('defaults = false\n[gates.net_peak_bytes]\nfloor = "1B"\n')
    again = run(folder, "run", "codes.toml", "--store", "again", "--seeds", "0:2")
    assert again.returncode == 0
    done = run(folder, "compare", "base", "again", "--gates", "gates.toml")
    assert done.returncode == 6, done.stdout
    assert "2 of at least 5 seeds" in done.stdout
    assert run(folder, "compare", "base", "again").returncode == 0
    assert run(folder, "compare", "base", "again", "--strict").returncode == 6
    shutil.copytree(folder / "base", folder / "timed")
    claim = CLAIM.format(value=1.0, tolerance=0.1, metric="epoch_seconds")
    (folder / "timed.toml").write_text(SUITE + claim)
    assert run(folder, "run", "timed.toml", "--store", "timed").returncode == 0
    assert run(folder, "check", "timed/").returncode == 6


FAULT = """
import sys
import sparsebench.run.request as request
def broken(*args, **kwargs):
    raise ZeroDivisionError("injected")
request.load_suite = broken
from sparsebench.cli import main
main(sys.argv[1:])
"""


def test_70_our_bug(folder: Path) -> None:
    done = process(folder, "validate", "codes.toml", command=("-c", FAULT))
    assert done.returncode == 70
    assert "ZeroDivisionError: injected" in done.stderr
    assert done.stderr.splitlines()[-1] == "error: this is a bug of sparsebench or of a plugin"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_stopped(folder: Path, number: signal.Signals, code: int) -> None:
    (folder / "endless.py").write_text(ENDLESS)
    (folder / "endless.toml").write_text(
        SUITE.replace('"wine"', '"endless"') + '[sources.endless]\nnote = "nowhere"\n'
    )
    words = ["run", "endless.toml", "--plugin", "endless.py", "--store", "stopped", "--no-plan"]
    errors = folder / f"{code}.log"
    with errors.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sparsebench", *words],
            cwd=folder, env=plain_environment(folder), stdout=subprocess.DEVNULL, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            while "[1/5]" not in errors.read_text() and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(number)
            assert process.wait(timeout=100) == code, errors.read_text()
        finally:
            process.kill()
            process.wait()
    assert "interrupted" in run(folder, "status", "--store", "stopped").stdout


def test_help_lists_every_code(folder: Path) -> None:
    shown = run(folder, "--help").stdout
    tested = {name.split("_")[1] for name in globals() if name.startswith("test_") and
              name.split("_")[1].isdigit()} | {"143"}  # fmt: skip
    assert tested == {str(code) for code in EXIT_CODES}
    for code, meaning in EXIT_CODES.items():
        assert f"{code:>5}  {meaning[:40]}" in shown
    for verb in ("run", "compare", "check"):
        assert "Exit codes:" in run(folder, verb, "--help").stdout
