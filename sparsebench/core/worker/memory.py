"""Resident memory of a process: the one place that asks the system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HAS_PROC = Path("/proc/self/status").exists()

_FIELDS = {b"VmHWM": "peak", b"VmRSS": "rss", b"VmSwap": "swap"}


@dataclass(frozen=True)
class Reading:
    """Bytes. `peak` is since the last `reset_peak`, where that is possible."""

    rss: int
    peak: int
    swap: int = 0


def read(pid: int | None = None) -> Reading | None:
    """Of a process, or of this one; None if it has ended."""
    if not HAS_PROC:
        return _read_with_psutil(pid)
    try:
        text = Path(f"/proc/{pid if pid is not None else 'self'}/status").read_bytes()
    except OSError:
        return None
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(b":")
        if name in _FIELDS:
            found[_FIELDS[name]] = int(value.split()[0]) * 1024
    return Reading(**found) if "rss" in found and "peak" in found else None


def reset_peak() -> bool:
    """Make the peak of this process start again from now; False where that is impossible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def oom_kills() -> int:
    """How often the kernel has killed for want of memory since it started."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _read_with_psutil(pid: int | None) -> Reading | None:
    import psutil

    try:
        rss = int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
    return Reading(rss=rss, peak=rss)
