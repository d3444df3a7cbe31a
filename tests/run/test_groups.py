"""Trials of several processes, started by mpiexec: whatever happens to whichever of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import marked

from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.core.worker import memory, mpi, processes
from sparsebench.core.worker.processes import children
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError
from sparsebench.run.options import Listener, Options
from sparsebench.run.session import run_trials
from sparsebench.run.supervisor import Supervised
from sparsebench.suite.suite import Suite

MIB = 2**20
HERE = Path(__file__).parent
FILES = (HERE / "odd_components.py", HERE / "several_processes.py")

MakeJob = Callable[..., Job]

pytestmark = [
    pytest.mark.skipif(bool(mpi.missing()), reason=f"mpi: {mpi.missing()}"),
    pytest.mark.skipif(not memory.HAS_PROC, reason="the kernel tells only on Linux"),
]


@pytest.fixture
def job_of(trial: Callable[..., Trial], tmp_path: Path) -> MakeJob:
    """job_of(workers=2, how="raise", rank=1, timeout=3): a job of 3 processes."""

    def make(workers: int = 1, **given: Any) -> Job:
        return Job(
            trial=trial("several", workers=workers, **given),
            folder=tmp_path / "attempt",
            data_dir=tmp_path / "data",
            plugin_files=FILES,
            processes=workers + 1,
        )

    return make


def finish(trial: Supervised) -> dict[str, Any]:
    while (outcome := trial.poll()) is None:
        time.sleep(0.01)
    assert marked(trial._launched.mark) == []
    return dict(outcome)


def pids_of(file: Path, count: int) -> list[int]:
    """The processes of a trial by rank, once all have written them."""
    files = [Path(f"{file}.{rank}") for rank in range(count)]
    while not all(one.exists() for one in files):
        time.sleep(0.01)
    return [int(one.read_text()) for one in files]


def how_it_ended(outcome: dict[str, Any]) -> tuple[str, str]:
    return outcome["status"], outcome["cause"]


# --- what all have together ----------------------------------------------------------


def test_three_processes_are_one_trial(job_of: MakeJob) -> None:
    job = job_of(workers=2)
    outcome = finish(Supervised(job))
    assert how_it_ended(outcome) == ("ok", "")
    assert outcome["measures"]["test_accuracy"] == 1 + 2 + 3
    assert outcome["settings"]["processes"] == 3
    seen = outcome["layers"][0]
    assert (seen["size"], seen["NUMBA_NUM_THREADS"], seen["OMP_NUM_THREADS"]) == (3, "1", "1")
    epochs = (job.folder / "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in epochs] == [1, 2]
    assert (job.folder / "progress.json").exists()
    assert not list(job.folder.glob("ranks*"))
    assert not list(job.folder.glob("*.tmp"))


def test_memory_and_seconds_are_sums_over_the_processes(job_of: MakeJob) -> None:
    """The first takes 24 MiB, the second 48, the third 72."""
    outcome = finish(Supervised(job_of(workers=2, mib=24)))
    measures, each = outcome["measures"], outcome["settings"]["ranks"]
    assert [round(one["net_peak_bytes"] / (24 * MIB)) for one in each] == [1, 2, 3]
    assert measures["net_peak_bytes"] == sum(one["net_peak_bytes"] for one in each)
    assert abs(measures["net_peak_bytes"] - 144 * MIB) < 3 * 2 * MIB
    assert measures["peak_rss_bytes"] >= sum(one["peak_rss_bytes"] for one in each)
    assert measures["cpu_seconds"] >= sum(one["cpu_seconds"] for one in each)
    assert measures["cpu_seconds"] > 0.1
    assert outcome["settings"]["exact"] is True


def test_a_sample_of_the_trace_has_all_of_them(job_of: MakeJob) -> None:
    """Seen from outside, when none of them comes to tell: 100 MiB in one, 200 in the other."""
    job = job_of(how="hang", mib=100)
    trial = Supervised(job)
    while trial.progress()["rss_bytes"] < 300 * MIB or not trial._trace.tree.peak_pss:
        assert trial.poll() is None
        time.sleep(0.01)
    trial.stop(kill=True)
    outcome = finish(trial)
    assert how_it_ended(outcome) == ("interrupted", "")
    assert outcome["measures"]["peak_rss_bytes"] > 300 * MIB
    last = (job.folder / "mem.csv").read_text().splitlines()[-1]
    assert int(last.split(",")[1]) > 300 * MIB
    assert outcome["measures"]["cpu_seconds"] > 0.1


def test_cores_are_those_of_the_job(job_of: MakeJob) -> None:
    core = sorted(os.sched_getaffinity(0))[0]
    outcome = finish(Supervised(replace(job_of(), cores=(core,))))
    assert outcome["layers"][0]["cores"] == [core]
    assert outcome["settings"]["oversubscribed"] is True


# --- what happens to one of them -----------------------------------------------------

FATES = {
    "SIGKILL": ("killed", "SIGKILL"),
    "SIGSEGV": ("crashed", "SIGSEGV"),
    "raise": ("error", "ValueError"),
    "memory": ("out-of-memory", "alloc"),
    "exit": ("crashed", "exit 0 without result"),
    "quit": ("crashed", "exit 3 without result"),
    "abort": ("crashed", "exit 5 without result"),
}
NAMELESS = ("abort",)
"""Of these mpiexec knows no more than the code."""


DAILY = (("SIGKILL", 0), ("raise", 0), ("SIGSEGV", 1), ("memory", 1), ("quit", 1))


@pytest.mark.parametrize(
    ("how", "rank"),
    [
        pytest.param(how, rank, marks=() if (how, rank) in DAILY else pytest.mark.minutes)
        for how in FATES
        for rank in (0, 1)
    ],
)
def test_how_it_ends_does_not_depend_on_which(job_of: MakeJob, how: str, rank: int) -> None:
    outcome = finish(Supervised(job_of(how=how, rank=rank)))
    assert how_it_ended(outcome) == FATES[how]
    if how not in NAMELESS:
        assert outcome["detail"].startswith(["master: ", "worker 1: "][rank])


def test_a_failed_message_is_the_fault_of_who_sent_it(job_of: MakeJob) -> None:
    outcome = finish(Supervised(job_of(workers=2, how="wrong message", rank=2)))
    assert how_it_ended(outcome) == ("error", "Exception")
    assert outcome["detail"].startswith("worker 2: ")


@pytest.mark.minutes
def test_a_process_and_its_minder_killed_at_once(job_of: MakeJob) -> None:
    assert how_it_ended(finish(Supervised(job_of(how="group")))) == ("killed", "SIGKILL")


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.minutes), 1])
def test_one_that_hangs_is_a_timeout(job_of: MakeJob, rank: int) -> None:
    outcome = finish(Supervised(job_of(how="hang", rank=rank, timeout=4)))
    assert how_it_ended(outcome) == ("timeout", "")


def test_all_together_past_the_limit(job_of: MakeJob) -> None:
    """Each holds 200 MiB of shared memory, which no limit of one process is about."""
    given = job_of(workers=2, how="all hold", mib=200, rank=-1, memory_limit=600 * MIB)
    outcome = finish(Supervised(given))
    assert how_it_ended(outcome) == ("out-of-memory", "limit")
    assert outcome["measures"]["peak_rss_bytes"] > 500 * MIB  # two of them do not hold so much


def test_a_child_that_left_keeps_nobody(job_of: MakeJob, tmp_path: Path) -> None:
    """It holds the stdout that mpiexec waits for."""
    outcome = finish(Supervised(job_of(how="escape", file=str(tmp_path / "pid"))))
    assert how_it_ended(outcome) == ("ok", "")
    assert processes.started(int((tmp_path / "pid.child").read_text())) is None


# --- from outside --------------------------------------------------------------------


MINUTES = pytest.mark.minutes


@pytest.mark.parametrize(
    "who",
    [
        "rank",
        "proxy",
        pytest.param("minder", marks=MINUTES),
        pytest.param("mpiexec", marks=MINUTES),
    ],
)
def test_whoever_is_killed_the_trial_is(job_of: MakeJob, tmp_path: Path, who: str) -> None:
    trial = Supervised(job_of(how="hang", file=str(tmp_path / "pid")))
    ranks = pids_of(tmp_path / "pid", 2)
    proxies = children(trial.pid)
    minders = [pid for proxy in proxies for pid in children(proxy)]
    assert len(proxies) == 1
    assert len(minders) == 2
    victim = {"rank": ranks[1], "minder": minders[1], "proxy": proxies[0], "mpiexec": trial.pid}
    os.kill(victim[who], signal.SIGKILL)
    assert how_it_ended(finish(trial)) == ("killed", "SIGKILL")


def test_asked_to_stop(job_of: MakeJob, tmp_path: Path) -> None:
    trial = Supervised(job_of(how="hang", file=str(tmp_path / "pid")))
    pids_of(tmp_path / "pid", 2)
    trial.poll()
    trial.stop()
    assert how_it_ended(finish(trial)) == ("interrupted", "")


def test_nothing_is_left_of_it_when_the_supervisor_is_killed(
    job_of: MakeJob, tmp_path: Path
) -> None:
    job_file, file = tmp_path / "job.json", tmp_path / "pid"
    job_file.write_text(json.dumps(job_of(workers=2, how="hang", file=str(file)).to_json()))
    code = (
        "import json, sys, time; from sparsebench.core.job import Job;"
        "from sparsebench.run.supervisor import Supervised;"
        "trial = Supervised(Job.from_json(json.load(open(sys.argv[1]))));"
        "print(trial._launched.mark, flush=True)\n"
        "while trial.poll() is None: time.sleep(0.02)"
    )
    words = [sys.executable, "-c", code, str(job_file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        mark = supervisor.stdout.readline().strip()
        pids_of(file, 3)
        assert len(marked(mark)) >= 3 * 2 + 2
        supervisor.kill()
    while marked(mark):
        time.sleep(0.01)


# --- a run ---------------------------------------------------------------------------


class HandshakeResult(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture
def _forget_the_plugin() -> Iterator[None]:
    yield
    sys.modules.pop("sparsebench_plugin_several_processes", None)


@pytest.mark.usefixtures("_forget_the_plugin")
def test_a_run_asks_the_trainer_how_many(
    suite: Suite, trial: Callable[..., Trial], options: Options
) -> None:
    plugins, heard = load_plugins(FILES), HandshakeResult()
    cores = len(os.sched_getaffinity(0))
    trials = [trial("fine"), trial("several", workers=cores)]
    quickly = replace(options, predict=False, audit=False)
    summary = run_trials(suite, trials, plugins, quickly, heard)
    assert [str(record.status) for record in summary.records] == ["ok", "ok"]
    settings = [record.settings for record in summary.records]
    assert "processes" not in settings[0]
    assert (settings[1]["processes"], settings[1]["oversubscribed"]) == (cores + 1, True)
    assert sum("oversubscribed" in line for line in heard.notes) == 1


@pytest.mark.usefixtures("_forget_the_plugin")
def test_debug_has_one_process_only(
    suite: Suite, trial: Callable[..., Trial], options: Options
) -> None:
    with pytest.raises(SparsebenchError, match=r"'several' needs 3: run it without --debug"):
        run_trials(
            suite, [trial("several", workers=2)], load_plugins(FILES), replace(options, debug=True)
        )


def test_an_mpi_of_another_kind_is_said_in_one_line(
    job_of: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process alone, where two were to find each other."""
    monkeypatch.setattr(mpi, "command", lambda count, program: [*program])
    outcome = finish(Supervised(job_of()))
    assert outcome["status"] == "unsupported"
    assert "both have to be of one MPI" in outcome["detail"]
