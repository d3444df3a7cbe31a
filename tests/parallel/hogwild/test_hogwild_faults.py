"""Workers that end or fail, in real trials: the trial ends, says why, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.core.worker import memory, processes
from sparsebench.core.worker.processes import children
from sparsebench.discovery import load_plugins
from sparsebench.run.supervisor import Supervised

PLUGIN = Path(__file__).parent / "faulty_backend.py"

pytestmark = pytest.mark.skipif(not memory.HAS_PROC, reason="the kernel tells only on Linux")


@pytest.fixture(autouse=True)
def _forget_plugin() -> Iterator[None]:
    yield
    sys.modules.pop("sparsebench_plugin_faulty_backend", None)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """A trial of 2 workers with the faulty backend, or another; it would last for minutes."""
    plugins = load_plugins([PLUGIN])

    def make(backend: Any, epochs: int = 10_000, **limits: Any) -> Job:
        given = {
            "dataset": "digits",
            "model": {"name": "mlp", "hidden": [30], "activation": "relu"},
            "topology": {"name": "static", "epsilon": 5},
            "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
            "trainer": {"name": "hogwild", "workers": 2},
            "backend": backend,
        }
        parts = {kind: plugins.validate(kind, value, kind) for kind, value in given.items()}
        trial = Trial(**parts, epochs=epochs, batch_size=32, threads=1, seed=0, suite="x", **limits)
        return Job(
            trial=trial, folder=tmp_path / "attempt", data_dir=tmp_path, plugin_files=(PLUGIN,)
        )

    return make


def finish(trial: Supervised) -> dict[str, Any]:
    while (outcome := trial.poll()) is None:
        time.sleep(0.02)
    return dict(outcome)


def workers_of(trial: Supervised) -> list[int]:
    """Their numbers, once the first epoch is over."""
    while not (trial.progress().get("epoch") or 0) > 1:
        assert trial.poll() is None, trial.poll()
        time.sleep(0.02)
    return sorted(children(trial.pid))


def wait_until_gone(pids: list[int]) -> None:
    """A signal takes its time; one that never came would end in the test's timeout."""
    while any(processes.started(pid) is not None for pid in pids):
        time.sleep(0.01)


def test_a_worker_that_raises_ends_the_trial_with_its_words(job: Callable[..., Job]) -> None:
    given = job({"name": "faulty", "how": "raises"})
    outcome = finish(Supervised(given))
    assert (outcome["status"], outcome["cause"]) == ("error", "WorkerError")
    assert outcome["detail"] in {f"worker {k}: ValueError: the last line" for k in (1, 2)}
    assert "Traceback" in (given.folder / "stderr.log").read_text()


def test_a_worker_without_memory_is_out_of_memory(job: Callable[..., Job]) -> None:
    outcome = finish(Supervised(job({"name": "faulty", "how": "greedy"})))
    assert (outcome["status"], outcome["cause"]) == ("out-of-memory", "alloc")
    assert outcome["detail"] in {f"MemoryError: worker {k}: no more" for k in (1, 2)}


def test_a_worker_that_leaves_is_missed(job: Callable[..., Job]) -> None:
    outcome = finish(Supervised(job({"name": "faulty", "how": "exits"})))
    assert (outcome["status"], outcome["cause"]) == ("crashed", "exit 3 without result")
    assert outcome["detail"] in {f"worker {k}: ended with exit code 3" for k in (1, 2)}


def test_a_worker_that_is_killed_ends_the_trial(job: Callable[..., Job]) -> None:
    trial = Supervised(job("scipy-csr"))
    pids = workers_of(trial)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    outcome = finish(trial)
    assert (outcome["status"], outcome["cause"]) == ("killed", "SIGKILL")
    assert outcome["detail"] == "worker 2: ended by SIGKILL"
    wait_until_gone(pids)


def test_workers_end_with_a_trial_that_is_killed(job: Callable[..., Job]) -> None:
    trial = Supervised(job({"name": "faulty", "how": "none"}))
    pids = workers_of(trial)
    os.kill(trial.pid, signal.SIGKILL)
    assert finish(trial)["status"] == "killed"
    wait_until_gone(pids)


@pytest.mark.minutes
def test_workers_end_with_a_trial_that_is_too_long(job: Callable[..., Job]) -> None:
    """In the midst of a round that never ends."""
    trial = Supervised(job({"name": "faulty", "how": "hangs"}, timeout=8.0), grace=0.2)
    pids: list[int] = []
    while len(pids) < 2:
        assert trial.poll() is None
        pids = children(trial.pid)
        time.sleep(0.02)
    assert finish(trial)["status"] == "timeout"
    wait_until_gone(pids)


def test_workers_end_with_the_supervisor(job: Callable[..., Job], tmp_path: Path) -> None:
    job_file, file = tmp_path / "job.json", tmp_path / "pids"
    job_file.write_text(json.dumps(job("scipy-csr").to_json()))
    code = (
        "import json, sys, time; from pathlib import Path;"
        "from sparsebench.core.job import Job;"
        "from sparsebench.run.supervisor import Supervised;"
        "from sparsebench.core.worker.processes import children;"
        "trial = Supervised(Job.from_json(json.load(open(sys.argv[1]))))\n"
        "while trial.poll() is None:\n"
        "    if (trial.progress().get('epoch') or 0) > 1:\n"
        "        Path(sys.argv[2]).write_text(json.dumps([trial.pid, *children(trial.pid)]))\n"
        "        time.sleep(60)\n"
        "    time.sleep(0.02)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code, str(job_file), str(file)])
    while not (file.exists() and file.read_text().endswith("]")):
        assert supervisor.poll() is None
        time.sleep(0.02)
    pids = json.loads(file.read_text())
    assert len(pids) == 3
    supervisor.kill()
    supervisor.wait()
    wait_until_gone(pids)


def test_memory_of_the_workers_counts_and_shared_memory_once(job: Callable[..., Job]) -> None:
    outcome = finish(Supervised(job("scipy-csr", epochs=3)))
    assert (outcome["status"], outcome["detail"]) == ("ok", "")
    measures = outcome["measures"]
    assert measures["net_peak_bytes"] >= measures["workers_net_peak_bytes"] > 0
    assert measures["bytes_sent"] == 0
    assert outcome["settings"]["flush_to_zero"] is True
