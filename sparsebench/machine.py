"""Where this runs: folders, cores, memory, and what a record says of the machine."""

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
    """The user's cache, for data sets and compiled code (`SPARSEBENCH_CACHE`)."""
    given = os.environ.get("SPARSEBENCH_CACHE")
    if given:
        return Path(os.path.expanduser(given)).resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "sparsebench"
    try:
        return Path.home() / ".cache" / "sparsebench"
    except RuntimeError:  # no HOME, and no entry for the user, as in a container with a bare number
        return _own_temporary_folder()


def _own_temporary_folder() -> Path:
    """A folder of this user alone below the temporary directory. Compiled code is loaded from it,
    so a folder that another user made or may write to is refused."""
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


def data_directory(given: Path | None = None) -> Path:
    """Where real data sets are: as given, else `SPARSEBENCH_DATA`, else in the user's cache."""
    chosen = given if given is not None else os.environ.get("SPARSEBENCH_DATA")
    return Path(os.path.expanduser(chosen)).resolve() if chosen else cache_directory() / "data"


def usable_cores() -> list[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def default_threads(root: Path = Path("/")) -> int:
    """The usable cores, or fewer where the control group has a smaller quota of CPU time: threads
    beyond it would be throttled.

    root  where /proc and /sys are
    """
    quota = cpu_quota(root)
    cores = len(usable_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of CPU time that control groups allow this process; None without a limit."""
    quotas = []
    group = control_group(root)
    if group is not None:
        mount = _cgroup2_mount(root)[1]
        for folder in (group, *group.parents):
            quotas.append(_quota(*_first(folder / "cpu.max").split()[:2]))
            if folder == mount:
                break
    for folder in _cpu_groups_of_version_1(root):
        quotas.append(
            _quota(_first(folder / "cpu.cfs_quota_us"), _first(folder / "cpu.cfs_period_us"))
        )
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(quota: str = "", period: str = "") -> float | None:
    """Cores, of microseconds per period; `max`, -1 and an empty file are no limit."""
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return int(quota) / int(period)


def control_group(root: Path = Path("/")) -> Path | None:
    """The folder of this process's control group in the v2 hierarchy."""
    paths = [line[3:] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::/")]
    top, mount = _cgroup2_mount(root)
    if not paths or mount is None or not Path(paths[0]).is_relative_to(top):
        return None
    folder = mount / Path(paths[0]).relative_to(top)
    return folder if folder.is_dir() else None


def _cgroup2_mount(root: Path) -> tuple[Path, Path | None]:
    """The group that is mounted, and where."""
    for line in _lines(root / "proc/self/mountinfo"):
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2":
            return Path(fields[3]), root / fields[4].lstrip("/")
    return Path("/"), None


def _cpu_groups_of_version_1(root: Path) -> list[Path]:
    """Our group of the cpu controller and those above it, as the host mounts it, or as a
    container sees its own."""
    mounts = [root / "sys/fs/cgroup/cpu", root / "sys/fs/cgroup/cpu,cpuacct"]
    mount = next((folder for folder in mounts if folder.is_dir()), None)
    if mount is None:
        return []
    found = [mount]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            group = mount / path.lstrip("/")
            found += [group, *(one for one in group.parents if one.is_relative_to(mount))]
    return list(dict.fromkeys(found))


def total_memory() -> int:
    """Bytes of RAM."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_memory() -> int:
    """Bytes of RAM that a new process could have without swapping."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return total_memory()


def describe() -> dict[str, Any]:
    """What a record says of the machine; nothing personal."""
    facts: dict[str, Any] = {
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(usable_cores()),
        "memory_bytes": total_memory(),
        "transparent_hugepage": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "governor": _first("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python": platform.python_version(),
    }
    stable = [str(facts[key]) for key in ("system", "architecture", "cpu", "cores")]
    stable.append(str(round(total_memory() / 2**30)))
    digest = hashlib.blake2b("|".join(stable).encode(), digest_size=4).hexdigest()
    facts["id"] = os.environ.get("SPARSEBENCH_MACHINE") or digest
    return facts


def refuse_unmeasurable_system() -> str | None:
    """Why nothing can be run on this system, or None."""
    if sys.platform == "win32":
        return "sparsebench runs on Linux (measured exactly) and macOS, not on Windows"
    return None


def _cpu() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _first(path: str | Path) -> str:
    lines = _lines(path)
    return lines[0].strip() if lines else ""


def _chosen(path: str | Path) -> str:
    """The bracketed word of a kernel setting such as `always [madvise] never`."""
    text = _first(path)
    return text.partition("[")[2].partition("]")[0] or text
