"""Two runs on one store at the same time, as two people start them: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins
from sparsebench.run.options import Listener, Options
from sparsebench.run.session import run_trials
from sparsebench.store.attempts import numbers
from sparsebench.store.record import Record
from sparsebench.store.store import Store
from sparsebench.store.verify import verify
from sparsebench.suite.suite import Suite

MakeTrial = Callable[..., Trial]

SUITE = """
schema = 1
name = "shared"
title = "Four trials"

[trial]
dataset = "wine"
model = { hidden = [16], activation = "relu" }
backend = "scipy-csr"
epochs = 20
batch_size = 8
threads = 1

[grid]
seed = [0, 1, 2, 3]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shared.toml").write_text(SUITE)
    return tmp_path


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sparsebench", "run", "shared.toml", "--no-plan", "--json", *more],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def outcomes(folder: Path) -> list[Path]:
    return sorted(folder.glob(".sparsebench/trials/*/*/*/outcome.json"))


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_runs_share_the_trials(folder: Path) -> None:
    both = [start(folder), start(folder)]
    outputs = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    store = Store(folder / ".sparsebench")
    ended = [
        (r.attempt, r.fingerprint["code"]) for t in store.trial_ids() for r in store.records(t)
    ]
    assert [attempt for attempt, _ in ended] == [1] * 4, ended
    assert [[r.status for r in store.run(run).records] for run in store.runs()] == [["ok"] * 4] * 2
    assert sum(json.loads(out)["reused"] for out, _ in outputs) == 4
    assert verify(store).findings == []


@pytest.mark.minutes
def test_when_one_is_killed_the_other_does_it_all(folder: Path) -> None:
    first = start(folder)
    wait_for(lambda: outcomes(folder))
    second = start(folder)
    wait_for(lambda: len(Store(folder / ".sparsebench").runs()) == 2 and len(outcomes(folder)) > 1)
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=200)
    assert second.returncode == 0, err
    store = Store(folder / ".sparsebench")
    assert [r.status for r in store.run(json.loads(out)["run"]).records] == ["ok"] * 4
    ended = [r.status for trial in store.trial_ids() for r in store.records(trial)]
    assert ended.count(Status.OK) == 4
    assert not verify(store).damaged


# --- one run, and an attempt of a process that stands for another run ----------------------------


class HandshakeResult(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.waiting = threading.Event()

    def note(self, line: str) -> None:
        self.notes.append(line)
        if "waits for" in line:
            self.waiting.set()


@pytest.fixture
def other() -> Any:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def begun_by(process: subprocess.Popen[bytes], store: Store, trial: Trial) -> Path:
    """An attempt whose supervisor is that process."""
    attempt = store.begin(trial, run="theirs")
    spec = json.loads((attempt.folder / "spec.json").read_text())
    stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    spec["process"] |= {"pid": process.pid, "start": int(stat[19])}
    (attempt.folder / "spec.json").write_text(json.dumps(spec))
    return attempt.folder


def in_a_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_what_another_run_has_under_way_is_waited_for_and_the_rest_goes_on(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, other: Any
) -> None:
    theirs, ours = trial("fine"), trial("fine", seed=1)
    store, heard = Store(options.store), HandshakeResult()
    folder = begun_by(other, store, theirs)
    thread, found = in_a_thread(lambda: run_trials(suite, [theirs, ours], odd, options, heard))
    assert heard.waiting.wait(60)
    assert heard.notes == ["trainer=fine: waits for run theirs, which has it under way"]
    wait_for(lambda: store.records(ours.id))
    assert thread.is_alive()
    fingerprint = store.records(ours.id)[0].fingerprint
    done = Record(trial=theirs, attempt=1, status=Status.OK, fingerprint=fingerprint)
    (folder / "outcome.tmp").write_text(json.dumps(done.to_json()))
    os.replace(folder / "outcome.tmp", folder / "outcome.json")
    thread.join(60)
    [summary] = found
    assert ([r.status for r in summary.records], summary.reused) == (["ok", "ok"], 1)
    assert numbers(folder.parent) == [1]


@pytest.mark.parametrize("end", ["killed", "of other code"])
def test_what_does_not_stand_is_run_after_all(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, other: Any, end: str
) -> None:
    theirs = trial("fine")
    heard = HandshakeResult()
    folder = begun_by(other, Store(options.store), theirs)
    thread, found = in_a_thread(lambda: run_trials(suite, [theirs], odd, options, heard))
    assert heard.waiting.wait(60)
    if end == "killed":
        other.kill()
        other.wait()
    else:
        done = Record(trial=theirs, attempt=1, status=Status.OK, fingerprint={"code": "old"})
        (folder / "outcome.tmp").write_text(json.dumps(done.to_json()))
        os.replace(folder / "outcome.tmp", folder / "outcome.json")
    thread.join(60)
    [summary] = found
    assert [(r.status, r.attempt) for r in summary.records] == [("ok", 2)]
    assert summary.reused == 0


@pytest.mark.parametrize("given", [{"resume": False}, {"rerun": "all"}])
def test_who_wants_it_anew_does_not_wait(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, other: Any,
    given: dict[str, Any],
) -> None:  # fmt: skip
    theirs, heard = trial("fine"), HandshakeResult()
    begun_by(other, Store(options.store), theirs)
    summary = run_trials(suite, [theirs], odd, replace(options, **given), heard)
    assert [(r.status, r.attempt) for r in summary.records] == [("ok", 2)]
    assert heard.notes == []


def test_a_signal_ends_the_waiting(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, other: Any
) -> None:
    theirs = trial("fine")
    begun_by(other, Store(options.store), theirs)

    class Impatient(Listener):
        def note(self, line: str) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    summary = run_trials(suite, [theirs], odd, options, Impatient())
    assert (summary.exit_code, summary.records) == (143, [])
