"""This machine: its folders, its usable cores and the default number of threads, its memory, and
the facts that a record keeps."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

from sparsebench.errors import SparsebenchError


def cache_directory() -> Path:
    """The user's cache for data sets and compiled code (`SPARSEBENCH_CACHE`).

    Without a home folder it is below the temporary folder. Compiled code is loaded from it, so a
    folder that another user made or may write to is refused.
    """
    chosen = os.environ.get("SPARSEBENCH_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen)).resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "sparsebench"
    with contextlib.suppress(RuntimeError):  # no HOME, and no entry for the user: a bare number
        return Path.home() / ".cache" / "sparsebench"
    folder = Path(tempfile.gettempdir()) / f"sparsebench-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
    if os.path.lexists(folder):
        found = folder.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not mine or found.st_mode & 0o022:
            raise SparsebenchError(
                f"{folder} is not a folder that only this user can write to; there is no home "
                "folder either: set SPARSEBENCH_CACHE to a folder for compiled code and data"
            )
    return folder


def data_directory(folder: Path | None = None) -> Path:
    """The data directory: `folder`, else `SPARSEBENCH_DATA`, else in the user's cache."""
    chosen = folder if folder is not None else os.environ.get("SPARSEBENCH_DATA")
    return Path(os.path.expanduser(chosen)).resolve() if chosen else cache_directory() / "data"


def usable_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def default_threads(root: Path = Path("/")) -> int:
    """The number of usable cores, at most the CPU quota of the control group, because more threads
    would be throttled.

    root  the folder that contains proc and sys
    """
    quota = cpu_quota(root)
    cores = len(usable_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The CPU quota of the control groups in cores; None without a limit."""
    limits = []  # microseconds per period; `max`, -1 and an empty file are no limit
    group = control_group(root)
    if group is not None:
        mount = _cgroup2_mount(root)[1] or root
        for folder in (one for one in (group, *group.parents) if one.is_relative_to(mount)):
            limits.append([*_first(folder / "cpu.max").split(), "", ""][:2])
    # version 1: our group of the cpu controller and those above it, as the host mounts it, or as a
    # container sees its own
    mounts = [root / "sys/fs/cgroup/cpu", root / "sys/fs/cgroup/cpu,cpuacct"]
    for mount in [folder for folder in mounts if folder.is_dir()][:1]:
        groups = [mount]
        for line in _lines(root / "proc/self/cgroup"):
            _, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(","):
                own = mount / path.lstrip("/")
                groups += [own, *(one for one in own.parents if one.is_relative_to(mount))]
        for folder in groups:
            limits.append([_first(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")])
    cores = [int(quota) / int(period) for quota, period in limits
             if quota.isdecimal() and period.isdecimal() and int(period)]  # fmt: skip
    return min(cores, default=None)


def control_group(root: Path = Path("/")) -> Path | None:
    """The folder of this process's control group in the v2 hierarchy."""
    paths = [line[3:] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::/")]
    top, mount = _cgroup2_mount(root)
    if not paths or mount is None or not Path(paths[0]).is_relative_to(top):
        return None
    folder = mount / Path(paths[0]).relative_to(top)
    return folder if folder.is_dir() else None


def _cgroup2_mount(root: Path) -> tuple[Path, Path | None]:
    """The control group that is mounted, and its mount point."""
    for line in _lines(root / "proc/self/mountinfo"):
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2":
            return Path(fields[3]), root / fields[4].lstrip("/")
    return Path("/"), None


def total_memory() -> int:
    """Bytes of RAM."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_memory() -> int:
    """Bytes of RAM that a new process could use without swapping."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return total_memory()


def describe() -> dict[str, Any]:
    """The facts about the machine that a record keeps; nothing personal."""
    names = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    cpu = names[0].partition(":")[2].strip() if names else platform.processor() or "unknown"
    huge = _first("/sys/kernel/mm/transparent_hugepage/enabled")  # always [madvise] never
    facts: dict[str, Any] = {
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "usable_cores": len(usable_cores()),
        "memory_bytes": total_memory(),
        "transparent_hugepage": huge.partition("[")[2].partition("]")[0] or huge,
        "governor": _first("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python": platform.python_version(),
    }
    stable = [str(facts[key]) for key in ("system", "architecture", "cpu", "cores")]
    stable.append(str(round(total_memory() / 2**30)))
    digest = hashlib.blake2b("|".join(stable).encode(), digest_size=4).hexdigest()
    facts["id"] = os.environ.get("SPARSEBENCH_MACHINE") or digest
    return facts


def refuse_unmeasurable_system() -> str | None:
    """Why nothing can run on this system, or None."""
    if sys.platform == "win32":
        return "sparsebench runs on Linux (measured exactly) and macOS, not on Windows"
    return None


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _first(path: str | Path) -> str:
    lines = _lines(path)
    return lines[0].strip() if lines else ""
