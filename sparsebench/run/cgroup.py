"""A control group per trial, where the system lets us have them: cgroup v2, delegated to us.

The kernel then counts and limits a trial's memory itself, page cache and children included.
A group that hands controllers down may hold no process of its own, so the supervisor first steps
into a child group, and only if it is alone: other people's processes are not moved. Where any
of this cannot be, there are no groups, and the other limits stand alone.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sparsebench import machine
from sparsebench.core.worker.processes import started

ROOT = Path("/")
"""Where /proc is; the mount points it tells of are below it too."""

PREFIX = "sparsebench"


@dataclass(frozen=True)
class Group:
    """The group of one trial."""

    folder: Path

    def has(self, pid: int) -> bool:
        return str(pid) in _words(self.folder / "cgroup.procs")

    def oom_kills(self) -> int:
        """Processes of the group that the kernel has killed, at the limit or for want of memory."""
        words = _words(self.folder / "memory.events")
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    def peak(self) -> int | None:
        """Bytes, page cache included; None before Linux 5.19."""
        words = _words(self.folder / "memory.peak")
        return int(words[0]) if words else None

    def remove(self) -> None:
        """One that still has processes stays; a later run removes it."""
        with contextlib.suppress(OSError):
            remove_folder(self.folder)


def make(limit: int | None) -> Group | None:
    """A new group with a limit of `limit` bytes; None where there can be none."""
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
    """The group in which ours are made, rid of those that dead supervisors left."""
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
    """The folder of this process's group in the v2 hierarchy."""
    return machine.control_group(ROOT)


def remove_folder(folder: Path) -> None:
    """A group's files are not removed one by one: they go with it."""
    os.rmdir(folder)


def _step_aside(home: Path) -> bool:
    """Leave `home` to the groups of trials, if this process is the only one in it."""
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
    """Leave the system as it was found; not from a fork of us."""
    if pid != os.getpid():
        return
    for file, text in (("cgroup.subtree_control", "-memory"), ("cgroup.procs", str(pid))):
        with contextlib.suppress(OSError):
            _write(home / file, text)
    with contextlib.suppress(OSError):
        remove_folder(aside)


def _remove_stale(home: Path) -> None:
    """Groups whose names tell of a supervisor that is no more."""
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
