"""Trials with children: what they hold together, and that nothing of theirs stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.job import Job
from sparsebench.core.worker import memory, processes
from sparsebench.core.worker.memory import Tree, total_pss
from sparsebench.run.supervisor import Supervised

MIB = 2**20

MakeJob = Callable[..., Job]

pytestmark = pytest.mark.skipif(not memory.HAS_PROC, reason="the kernel tells only on Linux")


either = pytest.mark.parametrize("cleared", [False, True], ids=["orphan", "cleared environment"])


def finish(trial: Supervised) -> dict[str, Any]:
    while (outcome := trial.poll()) is None:
        time.sleep(0.01)
    return dict(outcome)


def test_children_that_share_are_charged_once(job: MakeJob) -> None:
    """8 processes with the same 96 MiB: 768 MiB if counted by each."""
    outcome = finish(Supervised(job("family", memory_limit=500 * MIB)))
    assert (outcome["status"], outcome["cause"]) == ("ok", "")
    assert 96 * MIB < outcome["measures"]["peak_tree_pss_bytes"] < 400 * MIB


def test_a_child_past_the_limit_ends_the_trial(job: MakeJob) -> None:
    given = job("family", how="each", count=1, mib=600, seconds=60.0, memory_limit=400 * MIB)
    outcome = finish(Supervised(given))
    assert (outcome["status"], outcome["cause"]) == ("out-of-memory", "limit")


def test_children_together_past_the_limit_end_the_trial(job: MakeJob) -> None:
    given = job("family", how="each", count=4, mib=120, seconds=60.0, memory_limit=400 * MIB)
    outcome = finish(Supervised(given))
    assert (outcome["status"], outcome["cause"]) == ("out-of-memory", "limit")
    assert outcome["measures"]["peak_rss_bytes"] < 400 * MIB


def test_a_trial_without_children_has_no_tree(job: MakeJob) -> None:
    assert "peak_tree_pss_bytes" not in finish(Supervised(job("spikes", mib=1)))["measures"]


def orphan_of(trial: Supervised, file: Path) -> int:
    """The number that an orphan of the trial left in `file`."""
    while not file.exists():
        assert trial.poll() is None
        time.sleep(0.01)
    return int(file.read_text())


@either
def test_what_left_the_group_ends_too(job: MakeJob, tmp_path: Path, cleared: bool) -> None:
    file = tmp_path / "pid"
    outcome = finish(Supervised(job("escapes", file=str(file), cleared=cleared)))
    assert outcome["status"] == "ok"
    assert processes.started(int(file.read_text())) is None


@pytest.mark.parametrize("how", ["requested", "killed by us", "killed by another"])
def test_what_left_the_group_ends_however_the_trial_ends(
    job: MakeJob, tmp_path: Path, how: str
) -> None:
    file = tmp_path / "pid"
    trial = Supervised(job("escapes", file=str(file), cleared=True, stays=True))
    orphan = orphan_of(trial, file)
    if how == "killed by another":
        os.kill(trial.pid, signal.SIGKILL)
    else:
        trial.stop(kill=how == "killed by us")
    assert finish(trial)["status"] in ("killed", "interrupted")
    assert processes.started(orphan) is None


def test_an_orphan_that_ends_leaves_no_zombie(job: MakeJob, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    trial = Supervised(job("escapes", file=str(file), cleared=True, stays=True, lives=0.1))
    orphan = orphan_of(trial, file)
    while Path(f"/proc/{orphan}").exists():
        time.sleep(0.01)
    assert trial.poll() is None
    trial.stop(kill=True)
    finish(trial)


def test_a_trial_whose_host_is_killed_ends_with_what_bears_its_mark(
    job: MakeJob, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    trial = Supervised(job("escapes", file=str(file), stays=True))
    orphan, worker = orphan_of(trial, file), trial.pid
    os.kill(trial._launched.process.pid, signal.SIGKILL)
    assert finish(trial)["status"] == "killed"
    assert (processes.started(orphan), processes.started(worker)) == (None, None)


@either
def test_what_left_the_group_ends_with_the_supervisor(
    job: MakeJob, tmp_path: Path, cleared: bool
) -> None:
    file, job_file = tmp_path / "pid", tmp_path / "job.json"
    given = job("escapes", file=str(file), cleared=cleared, stays=True)
    job_file.write_text(json.dumps(given.to_json()))
    code = (
        "import json, sys, time; from sparsebench.core.job import Job;"
        "from sparsebench.run.supervisor import Supervised;"
        "trial = Supervised(Job.from_json(json.load(open(sys.argv[1]))))\n"
        "while trial.poll() is None: time.sleep(0.02)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code, str(job_file)])
    while not file.exists():
        time.sleep(0.01)
    pid = int(file.read_text())
    assert processes.started(pid) is not None
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    while processes.started(pid) is not None:
        time.sleep(0.01)


def test_a_number_used_again_is_not_hit() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        start = processes.started(child.pid)
        assert start is not None
        processes.kill_known([(child.pid, start - 1)])
        assert child.poll() is None
        processes.kill_known([(child.pid, start)])
        assert child.wait() == -signal.SIGKILL
    finally:
        child.kill()
        child.communicate()


def test_only_the_marked_end() -> None:
    def start(mark: str) -> subprocess.Popen[bytes]:
        variables = {**os.environ, processes.MARK: mark}
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                                 env=variables)  # fmt: skip
        while f"{processes.MARK}={mark}" not in Path(f"/proc/{child.pid}/environ").read_text():
            time.sleep(0.01)
        return child

    mine, other = start("abc"), start("abcd")
    try:
        processes.kill_marked("abc")
        assert mine.wait() == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for child in (mine, other):
            child.kill()
            child.communicate()


def test_a_tree_remembers_a_child_that_lost_its_parent() -> None:
    """The middle process ends; its child is then nobody's."""
    code = (
        "import os, time\nif os.fork(): time.sleep(0.5); os._exit(0)\n"
        "print(os.getpid(), flush=True); input(); print('left', flush=True); input()"
    )
    middle = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert middle.stdin is not None
    assert middle.stdout is not None
    orphan = int(middle.stdout.readline())
    tree = Tree(os.getpid())
    tree.sample(0, now=0.0)
    assert {middle.pid, orphan} <= set(tree.members)
    middle.wait()
    tree.sample(0, now=1.0)
    assert orphan in tree.members
    assert middle.pid not in tree.members
    assert tree.peak_pss is not None
    middle.stdin.write("\n\n")
    middle.communicate()


def test_a_process_alone_holds_what_is_resident() -> None:
    code = "block = b'1' * (50 * 2**20); print(1, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    resident = memory.read(child.pid)
    held = total_pss([child.pid])
    child.communicate(b"\n")
    assert resident is not None
    assert abs(held - resident.rss) < 2 * MIB


def test_what_is_gone_holds_nothing() -> None:
    nobody = 2**22 + 1
    assert (processes.children(nobody), total_pss([nobody])) == ([], 0)
    assert (processes.started(nobody), processes.cpu_seconds(nobody)) == (None, 0.0)


def test_a_tree_is_weighed_only_where_counting_repeats_would_pass_the_limit() -> None:
    tree = Tree(os.getpid())
    tree.members = {os.getpid(): 0}
    tree.rss = 100
    assert not tree.exceeds(100, now=0.0)
    assert tree.peak_pss is None
    tree.rss = 2**50
    assert tree.exceeds(MIB, now=0.0)
    assert tree.peak_pss is not None
    assert not tree.exceeds(2**49, now=1.0)
