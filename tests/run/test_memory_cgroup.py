"""Control groups, on a folder that stands for the kernel's: same files, no kernel behind them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sparsebench.core.job import Job
from sparsebench.run import memory_cgroup
from sparsebench.run.supervisor import Supervised

MOUNT = "sys/fs/cgroup"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A system where this process is alone in a delegated group; the folder of that group."""
    root = tmp_path / "root"
    home = root / MOUNT / "user.slice/ours"
    home.mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("4:memory:/elsewhere\n0::/user.slice/ours\n")
    (root / "proc/self/mountinfo").write_text(
        "22 1 0:5 / /proc rw - proc proc rw\n"
        f"30 1 0:26 / /{MOUNT} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (home / "cgroup.controllers").write_text("cpu memory pids\n")
    (home / "cgroup.subtree_control").write_text("\n")
    (home / "cgroup.procs").write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(memory_cgroup, "ROOT", root)
    # the kernel's rmdir removes the files too
    monkeypatch.setattr(memory_cgroup, "remove_folder", shutil.rmtree)
    left: list[Callable[[], None]] = []
    monkeypatch.setattr(
        memory_cgroup.atexit, "register", lambda f, *given: left.append(lambda: f(*given))
    )
    memory_cgroup.delegated.cache_clear()
    yield home
    memory_cgroup.delegated.cache_clear()
    for leave in left:
        leave()
    assert not list(home.glob("sparsebench-*"))


def hand_down(home: Path) -> None:
    (home / "cgroup.subtree_control").write_text("memory\n")


def test_a_group_has_its_limits_and_no_swap_where_there_is_some(kernel: Path) -> None:
    hand_down(kernel)
    group = memory_cgroup.make(123 * 4096)
    assert group is not None
    assert group.folder.parent == kernel
    assert (group.folder / "memory.max").read_text() == str(123 * 4096)
    assert (group.folder / "memory.oom.group").read_text() == "1"
    assert not (group.folder / "memory.swap.max").exists()
    group.remove()


def test_what_a_group_tells(kernel: Path) -> None:
    hand_down(kernel)
    group = memory_cgroup.make(None)
    assert group is not None
    assert (group.peak(), group.oom_kills(), group.has(7)) == (None, 0, False)
    (group.folder / "memory.peak").write_text("4096\n")
    (group.folder / "memory.events").write_text("low 0\noom 2\noom_kill 1\noom_group_kill 1\n")
    (group.folder / "cgroup.procs").write_text("17\n7\n")
    assert (group.peak(), group.oom_kills(), group.has(7)) == (4096, 1, True)
    group.remove()


def test_a_lone_supervisor_steps_aside_and_comes_back(kernel: Path) -> None:
    group = memory_cgroup.make(4096)
    assert group is not None
    assert (kernel / "cgroup.subtree_control").read_text() == "+memory"
    (aside,) = kernel.glob("sparsebench-supervisor-*")
    assert (aside / "cgroup.procs").read_text() == str(os.getpid())
    group.remove()


NOT_OURS = {
    "not alone": lambda home: (home / "cgroup.procs").write_text(f"{os.getpid()}\n1\n"),
    "no memory": lambda home: (home / "cgroup.controllers").write_text("cpu pids\n"),
    "not there": lambda home: shutil.rmtree(home),
    "version 1": lambda home: (home.parents[4] / "proc/self/cgroup").write_text("4:memory:/a\n"),
    "refused": lambda home: [
        (home / "cgroup.subtree_control").unlink(),
        (home / "cgroup.subtree_control").mkdir(),  # writing fails
    ],
}


@pytest.mark.parametrize("why", NOT_OURS)
def test_where_there_can_be_none_there_is_none(kernel: Path, why: str) -> None:
    NOT_OURS[why](kernel)
    assert memory_cgroup.make(4096) is None
    kernel.mkdir(exist_ok=True)


def test_groups_of_dead_supervisors_are_removed(kernel: Path) -> None:
    hand_down(kernel)
    (kernel / "sparsebench-trial-4194305-1-aa").mkdir()  # no such process
    (kernel / f"sparsebench-trial-{os.getpid()}-1-bb").mkdir()  # its number, an earlier process
    (kernel / "sparsebench-trial-x-1-cc").mkdir()  # not our way to name them
    mine = memory_cgroup.make(None)
    assert mine is not None
    memory_cgroup.delegated.cache_clear()
    memory_cgroup.delegated()
    left = {folder.name for folder in kernel.glob("sparsebench-*")}
    assert left == {mine.folder.name, "sparsebench-trial-x-1-cc"}
    mine.remove()
    (kernel / "sparsebench-trial-x-1-cc").rmdir()


def test_a_trial_joins_its_group_and_says_so(kernel: Path, job: Callable[..., Job]) -> None:
    hand_down(kernel)
    trial = Supervised(job("stays", memory_limit=2**30))
    (folder,) = kernel.glob("sparsebench-trial-*")
    assert (folder / "memory.max").read_text() == str(2**30)
    joined = folder / "cgroup.procs"
    while not (joined.exists() and joined.read_text()):
        trial.poll()
        time.sleep(0.01)
    assert joined.read_text() == str(trial.pid)
    time.sleep(0.06)
    trial.poll()  # which looks whether it came to that
    (folder / "memory.peak").write_text("987654321\n")
    (folder / "memory.events").write_text("oom_kill 1\n")
    os.kill(trial.pid, 9)
    while (outcome := trial.poll()) is None:
        time.sleep(0.01)
    assert (outcome["status"], outcome["cause"]) == ("out-of-memory", "cgroup")
    assert outcome["settings"]["memory_limits"] == ["rlimit-data", "cgroup", "rss"]
    assert outcome["measures"]["cgroup_peak_bytes"] == 987654321
    assert not folder.exists()


def test_without_groups_the_other_limits_are_reported(job: Callable[..., Job]) -> None:
    trial = Supervised(job("offers", memory_limit=2**30))
    while (outcome := trial.poll()) is None:
        time.sleep(0.01)
    limits = outcome["settings"]["memory_limits"]
    assert set(limits) >= {"rlimit-data", "rss"}
    (seen,) = outcome["layers"]
    assert seen == {"oom_score_adj": 1000, "SPARSEBENCH_TRIAL": True, "SPARSEBENCH_CGROUP": False}
