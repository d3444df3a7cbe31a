"""The memory of this machine, and the facts about it that a record keeps."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from typing import Any

from sparsebench.cores_and_threads import usable_cores
from sparsebench.system_files import first_line, lines_of


def total_memory() -> int:
    """Bytes of RAM."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_memory() -> int:
    """Bytes of RAM that a new process could use without swapping."""
    for line in lines_of("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return total_memory()


def describe() -> dict[str, Any]:
    """The facts about the machine that a record keeps; nothing personal."""
    names = [line for line in lines_of("/proc/cpuinfo") if line.startswith("model name")]
    cpu = names[0].partition(":")[2].strip() if names else platform.processor() or "unknown"
    huge = first_line("/sys/kernel/mm/transparent_hugepage/enabled")  # always [madvise] never
    facts: dict[str, Any] = {
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "usable_cores": len(usable_cores()),
        "memory_bytes": total_memory(),
        "transparent_hugepage": huge.partition("[")[2].partition("]")[0] or huge,
        "governor": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python": platform.python_version(),
    }
    stable = [str(facts[key]) for key in ("system", "architecture", "cpu", "cores")]
    stable.append(str(round(total_memory() / 2**30)))
    digest = hashlib.blake2b("|".join(stable).encode(), digest_size=4).hexdigest()
    facts["id"] = os.environ.get("SPARSEBENCH_MACHINE") or digest
    return facts


def refuse_unmeasurable_system() -> str | None:
    """Why sparsebench cannot run on this operating system; None if it can."""
    if sys.platform == "win32":
        return "sparsebench runs on Linux (measured exactly) and macOS, not on Windows"
    return None
