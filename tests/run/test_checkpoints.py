"""Trials of real processes that are killed in the middle and go on from their checkpoint."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsebench.core.job import CHECKPOINT, MODEL
from sparsebench.core.worker.processes import children
from sparsebench.store.record import Record
from sparsebench.store.store import Store

SUITE = """
schema = 1
name = "long"
[trial]
dataset = "digits"
model = {{ hidden = [60, 60], dropout = 0.2 }}
topology = {{ name = "{topology}" }}
backend = "{backend}"
epochs = 40
batch_size = 16
threads = 1
checkpoint = "20ms"
"""


def write_suite(folder: Path, topology: str = "set", backend: str = "numba-csr") -> Path:
    file = folder / "long.toml"
    file.write_text(SUITE.format(topology=topology, backend=backend))
    return file


def start(suite: Path, store: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sparsebench", "run", str(suite), "--store", str(store), "--json",
         "--no-plan", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out + err


def newest(store: Path) -> Record:
    found = Store(store)
    (trial,) = found.trial_ids()
    return found.records(trial)[-1]


def weights(store: Path) -> dict[str, Any]:
    """Of the newest attempt that kept its network."""
    files = sorted(store.glob(f"trials/*/*/*/{MODEL}"), key=lambda file: int(file.parent.name))
    with np.load(files[-1], allow_pickle=False) as found:
        return {name: found[name] for name in found.files if name != "facts"}


def worker_pid(supervisor: subprocess.Popen[str], store: Path, attempt: int) -> int:
    """Of the trial's process, once it has kept a checkpoint: the child of its host."""
    while supervisor.poll() is None:
        if list(store.glob(f"trials/*/*/{attempt}/{CHECKPOINT}")):
            (host,) = children(supervisor.pid)
            (worker,) = children(host)
            return worker
        time.sleep(0.005)
    raise AssertionError(f"no checkpoint was kept: {supervisor.communicate()}")


@pytest.mark.minutes
@pytest.mark.parametrize("topology", ["set", "static"])
def test_killed_at_random_moments_it_ends_with_the_same_weights(
    tmp_path: Path, topology: str
) -> None:
    suite = write_suite(tmp_path, topology)
    code, output = finish(start(suite, tmp_path / "undisturbed"))
    assert code == 0, output
    undisturbed = newest(tmp_path / "undisturbed")
    assert "resumed" not in undisturbed.settings
    store = tmp_path / "store"
    rng = random.Random(topology)
    for attempt in (1, 2):
        process = start(suite, store)
        pid = worker_pid(process, store, attempt)
        time.sleep(rng.uniform(0, 0.3))
        os.kill(pid, signal.SIGKILL)
        code, output = finish(process)
        assert newest(store).status in ("killed", "ok"), output
    code, output = finish(start(suite, store, "--resume"))
    assert code == 0, output
    ended = newest(store)
    assert_went_on(ended, undisturbed, store)
    same, expected = weights(store), weights(tmp_path / "undisturbed")
    assert same.keys() == expected.keys()
    for name, array in expected.items():
        assert np.array_equal(same[name], array), name


def assert_went_on(ended: Record, undisturbed: Record, store: Path) -> None:
    assert ended.status == "ok"
    resumed = ended.settings["resumed"]
    assert resumed["step"] > 1
    assert resumed["attempt"] == ended.attempt - 1
    for name in ("test_accuracy", "train_loss", "best_test_accuracy", "connections"):
        assert ended.measures[name] == undisturbed.measures[name]
    folder = Store(store).folder(ended)
    lines = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 41))
    assert not list(store.rglob(CHECKPOINT))  # nobody goes on from them
    assert "checkpoint" in ended.phases


def test_with_retries_a_crash_goes_on_in_the_same_run(tmp_path: Path) -> None:
    suite, store = write_suite(tmp_path), tmp_path / "store"
    process = start(suite, store, "--set", "retries=1")
    os.kill(worker_pid(process, store, 1), signal.SIGSEGV)
    code, output = finish(process)
    assert code == 0, output
    first, second = Store(store).records(newest(store).trial.id)
    assert (first.status, second.status) == ("crashed", "ok")
    assert second.settings["resumed"]["attempt"] == 1


def test_the_supervisor_killed_and_run_again(tmp_path: Path) -> None:
    suite, store = write_suite(tmp_path), tmp_path / "store"
    process = start(suite, store)
    worker_pid(process, store, 1)
    process.kill()
    process.communicate()
    assert newest(store).status == "interrupted"
    code, output = finish(start(suite, store))
    assert code == 0, output
    assert newest(store).settings["resumed"]["attempt"] == 1


@pytest.mark.minutes
def test_anew_where_that_is_asked_for_or_the_checkpoint_is_spoilt(tmp_path: Path) -> None:
    suite, store = write_suite(tmp_path), tmp_path / "store"
    process = start(suite, store)
    os.kill(worker_pid(process, store, 1), signal.SIGKILL)
    finish(process)
    (file,) = store.rglob(CHECKPOINT)
    spoilt = bytearray(file.read_bytes())
    file.write_bytes(spoilt[: len(spoilt) // 2])
    code, output = finish(start(suite, store))
    assert code == 0, output
    assert "checkpoint.npz cannot be read" in newest(store).settings["resumed"]["refused"]
    code, output = finish(start(suite, store, "--no-resume"))
    assert code == 0, output
    assert "resumed" not in newest(store).settings
