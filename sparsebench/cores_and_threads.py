"""The usable cores, the CPU quota of the control group, and the number of threads that a trial
therefore uses by default."""

from __future__ import annotations

import os
from pathlib import Path

from sparsebench.system_files import first_line, lines_of


def usable_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def default_threads(root: Path = Path("/")) -> int:
    """The number of usable cores, at most the CPU quota of the control group (rounded down, at
    least 1), because more threads would be throttled.

    root  the folder that contains proc and sys
    """
    quota = cpu_quota(root)
    cores = len(usable_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The CPU quota in cores: the smallest of this process's control group and those above it; None
    without a limit."""
    limits = []  # microseconds per period; `max`, -1 and an empty file are no limit
    group = control_group(root)
    if group is not None:
        mount = _cgroup2_mount(root)[1] or root
        for folder in (one for one in (group, *group.parents) if one.is_relative_to(mount)):
            limits.append([*first_line(folder / "cpu.max").split(), "", ""][:2])
    # version 1: our group of the cpu controller and those above it, as the host mounts it, or as a
    # container sees its own
    mounts = [root / "sys/fs/cgroup/cpu", root / "sys/fs/cgroup/cpu,cpuacct"]
    for mount in [folder for folder in mounts if folder.is_dir()][:1]:
        groups = [mount]
        for line in lines_of(root / "proc/self/cgroup"):
            _, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(","):
                own = mount / path.lstrip("/")
                groups += [own, *(one for one in own.parents if one.is_relative_to(mount))]
        for folder in groups:
            limits.append(
                [first_line(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
            )
    cores = [int(quota) / int(period) for quota, period in limits
             if quota.isdecimal() and period.isdecimal() and int(period)]  # fmt: skip
    return min(cores, default=None)


def control_group(root: Path = Path("/")) -> Path | None:
    """The folder of this process's control group in the v2 hierarchy; None if there is none."""
    paths = [line[3:] for line in lines_of(root / "proc/self/cgroup") if line.startswith("0::/")]
    top, mount = _cgroup2_mount(root)
    if not paths or mount is None or not Path(paths[0]).is_relative_to(top):
        return None
    folder = mount / Path(paths[0]).relative_to(top)
    return folder if folder.is_dir() else None


def _cgroup2_mount(root: Path) -> tuple[Path, Path | None]:
    """The control group (v2) that is mounted, and its mount point; None if none is mounted."""
    for line in lines_of(root / "proc/self/mountinfo"):
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2":
            return Path(fields[3]), root / fields[4].lstrip("/")
    return Path("/"), None
