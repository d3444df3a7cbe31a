"""What disturbed a machine while something was timed on it: the kernel's counters, before and
after.

Seen from the cores a trial may use: with trials side by side, pinned to cores of their own, one
is no noise to the other. The kernel counts in ticks of 10 ms per core, so shares of a window
shorter than `SHORTEST` say nothing and are not given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.run.cgroup import own_group

ROOT = Path("/")
"""Where /proc and /sys are."""

SHORTEST = 1.0
"""Seconds: 2 ticks of each core are then at most 2 % of it."""

WINDOW = 0.3
"""Seconds of a look at what goes on now: 30 ticks of each core, enough to see a program at work."""

OTHERS_CORES = 0.25
OTHERS_SHARE = 0.1
"""Cores' worth of others' work, or share of the usable cores, that is a mark: daemons at rest take
hundredths of a core; a quarter is a program at work, and a tenth of few cores slows all threads."""

STEAL_SHARE = 0.02
"""Of the time of the usable cores, given to other guests: 2 % is what two runs differ by anyway."""

MARKS = ("load", "steal", "throttled", "swap")

_BUSY = (0, 1, 2, 5, 6)
"""user, nice, system, irq, softirq; idle and iowait are 3 and 4, steal is 7, and guests are within
user."""


@dataclass(frozen=True)
class Sample:
    """Counters at a moment. Seconds are of the cores asked about, together.

    throttles   events since boot: of the CPUs for heat, of our control group for its quota
    megahertz   of the cores' clocks; empty where unknown
    """

    at: float
    load: float
    busy: float
    steal: float
    total: float
    throttles: int
    throttled_seconds: float
    swapped_pages: int
    megahertz: tuple[float, ...]
    cores: int


def sample(cores: Iterable[int] | None = None) -> Sample:
    """Read the counters of these cores; by default of all usable cores."""
    chosen = sorted(machine.usable_cores() if cores is None else cores)
    busy, steal, total = _jiffies(chosen)
    throttles, throttled = _group_throttles()
    return Sample(
        at=time.monotonic(),
        load=_load(),
        busy=busy,
        steal=steal,
        total=total,
        throttles=throttles + _heat_throttles(),
        throttled_seconds=throttled,
        swapped_pages=_swapped_pages(),
        megahertz=_megahertz(chosen),
        cores=len(chosen),
    )


def between(
    before: Sample,
    after: Sample,
    *,
    own_seconds: float,
    swapped: bool = False,
    shortest: float = SHORTEST,
) -> dict[str, Any]:
    """The `noise` of a record.

    own_seconds  CPU time of what was timed and of whoever watched it
    swapped      whether pages of what was timed were in swap
    shortest     seconds of a window whose shares are told
    """
    wall, total = after.at - before.at, after.total - before.total
    others = steal = None
    if wall >= shortest and total > 0:
        others = max(0.0, after.busy - before.busy - own_seconds) / wall
        steal = max(0.0, after.steal - before.steal) / total
    clocks = before.megahertz + after.megahertz
    told: dict[str, Any] = {
        "load_start": before.load,
        "load_end": after.load,
        "others_cores": others,
        "steal_share": steal,
        "throttled": after.throttles - before.throttles,
        "throttled_seconds": max(0.0, after.throttled_seconds - before.throttled_seconds),
        "swapped_pages": max(0, after.swapped_pages - before.swapped_pages),
        "swapped": swapped,
        "frequency_mhz": [min(clocks), max(clocks)] if clocks else None,
    }
    return told | {"marks": marks(told, before.cores)}


def marks(told: dict[str, Any], cores: int) -> list[str]:
    """The words for what is past its threshold, in the order of `MARKS`."""
    others, steal = told["others_cores"], told["steal_share"]
    past = (
        others is not None and others > min(OTHERS_CORES, OTHERS_SHARE * cores),
        steal is not None and steal > STEAL_SHARE,
        told["throttled"] > 0,
        told["swapped_pages"] > 0 or told["swapped"],
    )
    return [word for word, is_past in zip(MARKS, past, strict=True) if is_past]


def now(seconds: float = WINDOW) -> list[str]:
    """What disturbs this machine at the moment, in a line each; takes `seconds` to look."""
    before, own = sample(), time.process_time()
    time.sleep(seconds)
    own = time.process_time() - own
    return complaints(between(before, sample(), own_seconds=own, shortest=0.0), before.cores)


def complaints(told: dict[str, Any], cores: int) -> list[str]:
    """A `noise` in words, one line per mark."""
    lines = {
        "load": "other programs use {others_cores:.1f} of its {cores} cores",
        "steal": "other guests of its host take {steal_share:.0%} of its time",
        "throttled": "its clocks or its share of the CPU are being throttled",
        "swap": "it is swapping",
    }
    return [
        f"this machine is not quiet: {lines[mark].format(**told, cores=cores)}; times will be noisy"
        for mark in told["marks"]
    ]


# --- the counters ------------------------------------------------------------------------


def _jiffies(cores: list[int]) -> tuple[float, float, float]:
    """Seconds of these cores that were busy, stolen, and all, since boot."""
    tick, wanted = os.sysconf("SC_CLK_TCK"), {f"cpu{core}" for core in cores}
    busy = steal = total = 0
    for line in _lines("proc/stat"):
        name, *words = line.split()
        if name in wanted:
            counts = [int(word) for word in words[:8]] + [0] * (8 - len(words))
            busy += sum(counts[field] for field in _BUSY)
            steal += counts[7]
            total += sum(counts)
    return busy / tick, steal / tick, total / tick


def _load() -> float:
    """Of the last minute."""
    words = " ".join(_lines("proc/loadavg")).split()
    return float(words[0]) if words else os.getloadavg()[0]


def _heat_throttles() -> int:
    folder = ROOT / "sys/devices/system/cpu"
    files = folder.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    return sum(int(_first(file) or 0) for file in files)


def _group_throttles() -> tuple[int, float]:
    """How often our control group had used up its quota of CPU time, and for how many seconds."""
    folder = own_group()
    files = [folder / "cpu.stat"] if folder is not None else []
    files += [ROOT / "sys/fs/cgroup/cpu/cpu.stat"]  # version 1, as a container sees its own
    for file in files:
        told = dict(line.split()[:2] for line in _lines(file) if len(line.split()) > 1)
        if "nr_throttled" in told:
            micro, nano = int(told.get("throttled_usec", 0)), int(told.get("throttled_time", 0))
            return int(told["nr_throttled"]), micro / 1e6 + nano / 1e9
    return 0, 0.0


def _swapped_pages() -> int:
    told = dict(line.split()[:2] for line in _lines("proc/vmstat"))
    return int(told.get("pswpin", 0)) + int(told.get("pswpout", 0))


def _megahertz(cores: list[int]) -> tuple[float, ...]:
    folder = ROOT / "sys/devices/system/cpu"
    found = [_first(folder / f"cpu{core}/cpufreq/scaling_cur_freq") for core in cores]
    return tuple(int(kilohertz) / 1000 for kilohertz in found if kilohertz)


def _lines(file: str | Path) -> list[str]:
    try:
        return (ROOT / file).read_text().splitlines()
    except OSError:
        return []


def _first(file: Path) -> str:
    lines = _lines(file)
    return lines[0].strip() if lines else ""
