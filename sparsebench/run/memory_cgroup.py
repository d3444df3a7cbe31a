"""Creates a control group (version 2) for each trial, if the system delegates one to us.

The kernel then counts and limits a trial's memory, page cache and children included. A group with
child groups may contain no processes itself, so the supervisor first moves into a child group, and
only if it is alone in its group. Where any of this is impossible there are no groups, and the other
limits apply alone.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sparsebench.core.worker.processes import started
from sparsebench.cores_and_threads import control_group

ROOT = Path("/")
"""The folder that contains proc; mount points are below it too."""

PREFIX = "sparsebench"


@dataclass(frozen=True)
class Group:
    """The group of one trial."""

    folder: Path

    def has(self, pid: int) -> bool:
        return str(pid) in _words(self.folder / "cgroup.procs")

    def oom_kills(self) -> int:
        """How many processes of the group the kernel has killed for memory."""
        words = _words(self.folder / "memory.events")
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    def peak(self) -> int | None:
        """Peak bytes, page cache included; None before Linux 5.19."""
        words = _words(self.folder / "memory.peak")
        return int(words[0]) if words else None

    def remove(self) -> None:
        """Remove the group. If it still has processes it stays, and a later run removes it."""
        with contextlib.suppress(OSError):
            remove_folder(self.folder)


def make(limit: int | None) -> Group | None:
    """Create a group for one trial, with a memory limit of `limit` bytes (None: no limit). Returns
    None if that is impossible."""
    home = delegated()
    if home is None:
        return None
    group = Group(home / _name("trial"))
    try:
        group.folder.mkdir()
        _write(group.folder / "memory.oom.group", "1")
        if limit is not None:
            _write(group.folder / "memory.max", str(limit))
            if (group.folder / "memory.swap.max").exists():
                _write(group.folder / "memory.swap.max", "0")
    except OSError:
        group.remove()
        return None
    return group


@functools.cache
def delegated() -> Path | None:
    """The group in which trials' groups are created, after removing those of dead supervisors; None
    if this process may create none."""
    home = own_group()
    if home is None or not os.access(home, os.W_OK):
        return None
    if "memory" not in _words(home / "cgroup.controllers"):
        return None
    _remove_stale(home)
    if "memory" in _words(home / "cgroup.subtree_control") or _step_aside(home):
        return home
    return None


def own_group() -> Path | None:
    """The folder of this process's group in the version 2 hierarchy; None if it has none."""
    return control_group(ROOT)


def remove_folder(folder: Path) -> None:
    """Remove a group's folder; the kernel removes the files in it."""
    os.rmdir(folder)


def _step_aside(home: Path) -> bool:
    """Move this process out of `home` into a child group, if it is the only process in `home`, and
    let child groups control memory. Returns whether that worked."""
    this = str(os.getpid())
    if _words(home / "cgroup.procs") != [this]:
        return False
    aside = home / _name("supervisor")
    try:
        aside.mkdir()
        _write(aside / "cgroup.procs", this)
        _write(home / "cgroup.subtree_control", "+memory")
    except OSError:
        _step_back(home, aside, os.getpid())
        return False
    atexit.register(_step_back, home, aside, os.getpid())
    return True


def _step_back(home: Path, aside: Path, pid: int) -> None:
    """Undo `_step_aside` at exit, but not in a fork."""
    if pid != os.getpid():
        return
    for file, text in (("cgroup.subtree_control", "-memory"), ("cgroup.procs", str(pid))):
        with contextlib.suppress(OSError):
            _write(home / file, text)
    with contextlib.suppress(OSError):
        remove_folder(aside)


def _remove_stale(home: Path) -> None:
    """Remove the groups of supervisors that no longer exist."""
    for folder in home.glob(f"{PREFIX}-*-*-*-*"):
        pid, start = folder.name.split("-")[2:4]
        if pid.isdecimal() and str(started(int(pid))) != start:
            with contextlib.suppress(OSError):
                remove_folder(folder)


def _name(what: str) -> str:
    return f"{PREFIX}-{what}-{os.getpid()}-{started(os.getpid())}-{secrets.token_hex(4)}"


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _lines(path: str) -> list[str]:
    try:
        return (ROOT / path).read_text().splitlines()
    except OSError:
        return []
