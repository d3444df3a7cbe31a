"""Seconds and peak memory by phase, and the net peak of the network."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sparsebench.core.worker import memory

EXACT = "vmhwm-reset"
"""The kernel's own high-water mark, reset at each phase. Any other method is not exact."""


class Meter:
    """Phases of this process.

    Phases may nest and be entered again. Seconds and peaks are a phase's own, without those
    of phases inside it; entered again, a phase adds its seconds and keeps its largest peak.

    phases    name -> seconds, peak_rss_bytes
    baseline  resident bytes after imports, data and warm-up; None before `set_baseline`
    """

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}
        self.baseline: int | None = None
        self._open: list[str] = []
        self._clock = time.perf_counter()
        self._peak = 0
        self._peak_since_baseline = 0
        self._earlier_net_peak = 0
        self.method = self._choose_method()

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
        """What is resident now does not belong to the network."""
        gc.collect()
        _give_back_free_memory()
        self._settle()
        self.baseline = self.rss()
        self._peak_since_baseline = 0

    def rss(self) -> int:
        now = memory.read()
        return now.rss if now is not None else 0

    def peak_rss_bytes(self) -> int:
        """The largest peak of the process's life."""
        self._settle()
        return self._peak

    def net_peak_bytes(self) -> int | None:
        """The largest peak since the baseline, above it; None without a baseline.

        What happens between two phases counts too: nothing escapes by not naming its phase.
        """
        self._settle()
        if self.baseline is None:
            return None
        return max(self._earlier_net_peak, self._peak_since_baseline - self.baseline)

    def so_far(self) -> dict[str, Any]:
        """For a process that goes on where this one ends."""
        self._settle()
        return {
            "phases": {name: dict(phase) for name, phase in self.phases.items()},
            "peak_rss_bytes": self._peak,
            "net_peak_bytes": self.net_peak_bytes(),
        }

    def go_on(self, earlier: Mapping[str, Any]) -> None:
        """Add the phases and keep the peaks of an earlier process, as `so_far` told them."""
        for name, phase in earlier["phases"].items():
            mine = self.phases.setdefault(name, {"seconds": 0.0, "peak_rss_bytes": 0})
            mine["seconds"] += phase["seconds"]
            mine["peak_rss_bytes"] = max(mine["peak_rss_bytes"], phase["peak_rss_bytes"])
        self._peak = max(self._peak, earlier["peak_rss_bytes"])
        self._earlier_net_peak = earlier["net_peak_bytes"] or 0

    def _settle(self) -> None:
        """Give what was since the last call to the phase it belongs to; start afresh."""
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

    def _choose_method(self) -> str:
        if not memory.HAS_PROC:
            return "psutil-rss"
        before = memory.read()
        self._peak = before.peak if before is not None else 0
        return EXACT if memory.reset_peak() else "vmhwm"


def _give_back_free_memory() -> None:
    """glibc keeps freed memory; what is kept would hide in the baseline."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
