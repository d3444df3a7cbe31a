"""Where this runs: folders, cores, memory, and what a record says of the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import Any


def cache_directory() -> Path:
    """The user's cache, for data sets and compiled code (`SPARSEBENCH_CACHE`)."""
    given = os.environ.get("SPARSEBENCH_CACHE")
    if given:
        return Path(given).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sparsebench"


def data_directory(given: Path | None = None) -> Path:
    """Where real data sets are: as given, else `SPARSEBENCH_DATA`, else in the user's cache."""
    chosen = given if given is not None else os.environ.get("SPARSEBENCH_DATA")
    return Path(chosen).expanduser().resolve() if chosen else cache_directory() / "data"


def usable_cores() -> list[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


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


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _first(path: str) -> str:
    lines = _lines(path)
    return lines[0].strip() if lines else ""


def _chosen(path: str) -> str:
    """The bracketed word of a kernel setting such as `always [madvise] never`."""
    text = _first(path)
    return text.partition("[")[2].partition("]")[0] or text
