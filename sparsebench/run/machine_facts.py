"""Describes the machine of a run for its manifest: processor, kernel, container, environment.

Nothing personal is recorded, and unknown facts are left out.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.cores_and_threads import usable_cores
from sparsebench.run import noise
from sparsebench.run.memory_cgroup import own_group
from sparsebench.store.record import utc_now

ROOT = Path("/")
"""The folder that contains proc and sys."""

CPU = "sys/devices/system/cpu"

VARIABLES = (
    "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "NUMBA_", "VECLIB_",
    "NUMEXPR_", "MALLOC_", "SPARSEBENCH_",
)  # fmt: skip
"""Prefixes of environment variables that change results or speed."""

SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
"""A variable with one of these words in its name is not recorded."""


def surroundings(store: Path) -> dict[str, Any]:
    """The machine's part of a manifest; `store` is where the results go."""
    return {
        "processor": known(_processor()),
        "memory": known(_memory()),
        "system": known(_system()),
        "container": known(container()),
        "environment": environment(),
        "store_filesystem": filesystem(store),
        "moment": moment(),
    }


def moment() -> dict[str, Any]:
    """Quantities that change during a run, recorded at its start and at its end. Counters (steal,
    throttling, swapped pages) are running totals of the kernel; the other values are momentary."""
    now = noise.sample()
    return known(
        {
            "utc": utc_now(),
            "monotonic_seconds": round(time.monotonic(), 3),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "steal_seconds": now.steal,
            "throttles": now.throttles,
            "throttled_seconds": now.throttled_seconds,
            "swapped_pages": now.swapped_pages,
            "temperature_celsius": _temperature(),
            "frequency_mhz": [min(now.megahertz), max(now.megahertz)] if now.megahertz else None,
        }
    )


def environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables with a prefix in VARIABLES, without SECRET ones; paths become `<path>`."""
    return {
        name: "<path>" if os.sep in value or value.startswith("~") else value
        for name, value in sorted(variables.items())
        if name.startswith(VARIABLES) and not any(word in name.upper() for word in SECRET)
    }


def filesystem(path: Path) -> str:
    """The type of the file system of a path, which need not exist yet; empty if unknown."""
    place = path.resolve()
    best, kind = -1, ""
    for line in _lines("proc/self/mountinfo"):
        fields = line.split()
        mounted = fields[4].replace("\\040", " ")
        if place.is_relative_to(mounted) and len(mounted) >= best:
            best, kind = len(mounted), fields[fields.index("-") + 1]
    return kind


def known(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts without those that are None or empty; 0 and False are kept."""
    return {key: value for key, value in facts.items() if value not in (None, "", {}, [])}


# --- the facts ---------------------------------------------------------------------------


def turbo() -> bool | None:
    """Whether turbo is on: clocks may rise above their nominal rate; None if unknown."""
    off, on = first(f"{CPU}/intel_pstate/no_turbo"), first(f"{CPU}/cpufreq/boost")
    return off == "0" if off else on == "1" if on else None


def smt() -> bool | None:
    """Whether SMT is on: two cores may be threads of one physical core; None if unknown."""
    return {"1": True, "0": False}.get(first(f"{CPU}/smt/active"))


def _processor() -> dict[str, Any]:
    lines = (line.partition(":") for line in _lines("proc/cpuinfo"))
    said = {name.strip(): value.strip() for name, _, value in lines}
    flags = said.get("flags") or said.get("Features") or ""
    cores = set(_topology("thread_siblings_list"))
    return {
        "model": said.get("model name"),
        "flags_digest": _digest(" ".join(sorted(flags.split()))) if flags else None,
        "microcode": said.get("microcode"),
        "logical": os.cpu_count(),
        "physical": len(cores) or None,
        "affinity": usable_cores(),
        "governor": first(f"{CPU}/cpu0/cpufreq/scaling_governor"),
        "driver": first(f"{CPU}/cpu0/cpufreq/scaling_driver"),
        "turbo": turbo(),
        "smt": smt(),
        "mitigations": _mitigations(),
    }


def _mitigations() -> dict[str, str]:
    """The kernel's state for each vulnerability that affects this CPU."""
    folder = ROOT / CPU / "vulnerabilities"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    states = {file.name: first(file) for file in files}
    return {name: state for name, state in states.items() if state not in ("", "Not affected")}


def _memory() -> dict[str, Any]:
    said = {line.split(":")[0]: line.split()[1] for line in _lines("proc/meminfo")}
    thp = "sys/kernel/mm/transparent_hugepage"
    return {
        "total_bytes": machine.total_memory(),
        "available_bytes": machine.available_memory(),
        "swap_bytes": int(said["SwapTotal"]) * 1024 if "SwapTotal" in said else None,
        "swap_used_bytes": swap_used(),
        "transparent_hugepage": _chosen(f"{thp}/enabled"),
        "transparent_hugepage_defrag": _chosen(f"{thp}/defrag"),
        "overcommit": first("proc/sys/vm/overcommit_memory"),
        "swappiness": first("proc/sys/vm/swappiness"),
    }


def swap_used() -> int | None:
    """Bytes of swap in use; None if unknown."""
    said = {line.split(":")[0]: line.split()[1] for line in _lines("proc/meminfo")}
    if "SwapTotal" not in said or "SwapFree" not in said:
        return None
    return (int(said["SwapTotal"]) - int(said["SwapFree"])) * 1024


def _system() -> dict[str, Any]:
    boot = first("proc/sys/kernel/random/boot_id")
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "aslr": first("proc/sys/kernel/randomize_va_space"),
        "boot": _digest(boot) if boot else None,
    }


def container() -> dict[str, Any]:
    """The limits of our control group (version 2 or 1) as the kernel writes them, and the kind of
    container."""
    limits: dict[str, Any] = {}
    group = own_group()
    if group is not None:
        for name in ("cpu.max", "memory.max", "memory.high", "memory.swap.max"):
            limits[name] = first(group / name)
    for name in ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "memory/memory.limit_in_bytes"):
        limits[name.partition("/")[2]] = first(f"sys/fs/cgroup/{name}")
    hints = {".dockerenv": "docker", "run/.containerenv": "podman"}
    kinds = [kind for file, kind in hints.items() if (ROOT / file).exists()]
    return {"kind": kinds[0] if kinds else None, **limits}


def _temperature() -> list[float]:
    """Degrees Celsius of each readable thermal zone."""
    found = []
    for file in sorted((ROOT / "sys/class/thermal").glob("thermal_zone*/temp")):
        said = first(file)
        if said.lstrip("-").isdecimal():
            found.append(int(said) / 1000)
    return found


def _topology(name: str) -> list[str]:
    return [first(file) for file in (ROOT / CPU).glob(f"cpu[0-9]*/topology/{name}")]


def _chosen(file: str) -> str:
    """The bracketed word of a kernel setting such as `always [madvise] never`."""
    text = first(file)
    return text.partition("[")[2].partition("]")[0] or text


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def first(file: str | Path) -> str:
    """The first line of a file in /proc or /sys; empty if there is none."""
    lines = _lines(file)
    return lines[0].strip() if lines else ""


def _lines(file: str | Path) -> list[str]:
    try:
        return (ROOT / file).read_text().splitlines()
    except OSError:
        return []
