"""Measures seconds and peak memory of this process by phase, and the net peak of the network."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sparsebench.core.worker import memory

EXACT = "vmhwm-reset"
"""The kernel's high-water mark, reset at each phase. Any other method is not exact."""


class Meter:
    """Measures phases of this process.

    Phases may nest and be entered again. Seconds and peaks are a phase's own, without those of
    phases inside it; a phase entered again adds its seconds and keeps its largest peak.

    phases    name -> seconds, peak_rss_bytes
    baseline  resident bytes after imports, data and warm-up; None before `set_baseline`
    method    how peaks are measured: EXACT, "vmhwm" (high-water mark that cannot be reset) or
              "psutil-rss" (resident memory at the begins and ends of phases only)
    """

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}
        self.baseline: int | None = None
        self._open: list[str] = []
        self._clock = time.perf_counter()
        self._peak = 0
        self._peak_since_baseline = 0
        self._earlier_net_peak = 0
        self.method = "psutil-rss"
        if memory.HAS_PROC:
            before = memory.read()
            self._peak = before.peak if before is not None else 0
            self.method = EXACT if memory.reset_peak() else "vmhwm"

    @property
    def exact(self) -> bool:
        return self.method == EXACT

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._settle()
        self._open.append(name)
        self.phases.setdefault(name, {"seconds": 0.0, "peak_rss_bytes": 0})
        try:
            yield
        finally:
            self._settle()
            self._open.pop()

    def set_baseline(self) -> None:
        """Take the present resident memory as the baseline; it does not belong to the network."""
        free_memory()
        self._settle()
        self.baseline = self.rss()
        self._peak_since_baseline = 0

    def rss(self) -> int:
        now = memory.read()
        return now.rss if now is not None else 0

    def peak_rss_bytes(self) -> int:
        """The largest resident memory of the process so far, in bytes."""
        self._settle()
        return self._peak

    def net_peak_bytes(self) -> int | None:
        """The largest resident memory since the baseline, less the baseline; None without one.
        Memory taken between two phases counts too."""
        self._settle()
        if self.baseline is None:
            return None
        return max(self._earlier_net_peak, self._peak_since_baseline - self.baseline)

    def so_far(self) -> dict[str, Any]:
        """The measurements as JSON, for the process that resumes from this one's checkpoint."""
        return {
            "peak_rss_bytes": self.peak_rss_bytes(),
            "net_peak_bytes": self.net_peak_bytes(),
            "phases": {name: dict(phase) for name, phase in self.phases.items()},
        }

    def add_earlier(self, earlier: Mapping[str, Any]) -> None:
        """Add the seconds and keep the peaks of an earlier process, given by its `so_far`."""
        for name, phase in earlier["phases"].items():
            mine = self.phases.setdefault(name, {"seconds": 0.0, "peak_rss_bytes": 0})
            mine["seconds"] += phase["seconds"]
            mine["peak_rss_bytes"] = max(mine["peak_rss_bytes"], phase["peak_rss_bytes"])
        self._peak = max(self._peak, earlier["peak_rss_bytes"])
        self._earlier_net_peak = earlier["net_peak_bytes"] or 0

    def _settle(self) -> None:
        """Add the seconds since the last call to the innermost open phase, and update the peaks."""
        now = memory.read()
        peak = now.peak if now is not None else 0
        self._peak = max(self._peak, peak)
        self._peak_since_baseline = max(self._peak_since_baseline, peak)
        if self._open:
            phase = self.phases[self._open[-1]]
            phase["seconds"] += time.perf_counter() - self._clock
            phase["peak_rss_bytes"] = max(phase["peak_rss_bytes"], peak)
        if self.exact:
            memory.reset_peak()
        self._clock = time.perf_counter()


def free_memory() -> None:
    """Return freed memory to the system; glibc would keep it, and it would be measured."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
