"""Measures what disturbed the machine during a trial, from the kernel's counters before and after.

Only the cores that the trial may use are counted, so trials that are pinned to different cores
do not count as noise to each other. The kernel counts in ticks of 10 ms per core, so no shares
are given for a window shorter than `SHORTEST`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.cores_and_threads import usable_cores
from sparsebench.run.memory_cgroup import own_group

ROOT = Path("/")
"""The folder that contains proc and sys."""

SHORTEST = 1.0
"""Seconds; an error of 2 ticks per core is at most 2 % of it."""

WINDOW = 0.3
"""Seconds that `now` observes the machine: 30 ticks of each core show a busy program."""

OTHERS_CORES = 0.25
OTHERS_SHARE = 0.1
"""Work of other programs that sets the mark `load`, in cores or as a share of the usable cores.
Idle daemons take hundredths of a core; a quarter of a core is a program at work, and a tenth of
few cores slows all threads."""

STEAL_SHARE = 0.02
"""Share of the cores' time that the host gave to other guests; two equal runs differ by 2 % too."""

MARKS = ("load", "steal", "throttled", "swap")

_BUSY = (0, 1, 2, 5, 6)
"""Fields of /proc/stat that count as busy: user, with guests, nice, system, irq and softirq. Idle
and iowait are 3 and 4, steal is 7."""


@dataclass(frozen=True)
class Sample:
    """The kernel's counters at one moment. From `busy` to `swapped_pages` they are running totals.

    at                 seconds of `time.monotonic`
    load               load average of the last minute, of the whole machine
    busy               seconds in which the sampled cores worked, summed over them
    steal              seconds that a hypervisor took from them, summed
    total              seconds of any kind, summed
    throttles          times that a CPU was slowed for heat, or our control group for its quota
    throttled_seconds  seconds that our control group was stopped for its quota
    swapped_pages      pages that the machine swapped in or out
    megahertz          clock of each sampled core; empty if unknown
    cores              number of sampled cores
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
    chosen = sorted(usable_cores() if cores is None else cores)
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
    """The noise between two samples, as a record stores it: differences of the counters.

    own_seconds  CPU seconds of the timed processes and of their supervisor
    swapped      whether memory of the timed processes was in swap
    shortest     seconds; for a shorter window, `others_cores` and `steal_share` are None
    """
    wall, total = after.at - before.at, after.total - before.total
    others = steal = None
    if wall >= shortest and total > 0:
        others = max(0.0, after.busy - before.busy - own_seconds) / wall
        steal = max(0.0, after.steal - before.steal) / total
    clocks = before.megahertz + after.megahertz
    found: dict[str, Any] = {
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
    return found | {"marks": marks(found, before.cores)}


def marks(noise: dict[str, Any], cores: int) -> list[str]:
    """The `MARKS` whose threshold is exceeded, in their order."""
    others, steal = noise["others_cores"], noise["steal_share"]
    past = (
        others is not None and others > min(OTHERS_CORES, OTHERS_SHARE * cores),
        steal is not None and steal > STEAL_SHARE,
        noise["throttled"] > 0,
        noise["swapped_pages"] > 0 or noise["swapped"],
    )
    return [word for word, is_past in zip(MARKS, past, strict=True) if is_past]


def now(seconds: float = WINDOW) -> list[str]:
    """Observe the machine for `seconds`; a line for each disturbance."""
    before, own = sample(), time.process_time()
    time.sleep(seconds)
    own = time.process_time() - own
    return complaints(between(before, sample(), own_seconds=own, shortest=0.0), before.cores)


def complaints(noise: dict[str, Any], cores: int) -> list[str]:
    """A sentence for each of the `marks` of a noise, as `between` returns it."""
    lines = {
        "load": "other programs use {others_cores:.1f} of its {cores} cores",
        "steal": "other guests of its host take {steal_share:.0%} of its time",
        "throttled": "its clocks or its share of the CPU are being throttled",
        "swap": "it is swapping",
    }
    reasons = [lines[mark].format(**noise, cores=cores) for mark in noise["marks"]]
    return [f"this machine is not quiet: {one}; times will be noisy" for one in reasons]


# --- the counters ------------------------------------------------------------------------


def _jiffies(cores: list[int]) -> tuple[float, float, float]:
    """Seconds since boot, summed over these cores: busy, stolen, total."""
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
    """The load average of the last minute."""
    words = " ".join(_lines("proc/loadavg")).split()
    return float(words[0]) if words else os.getloadavg()[0]


def _heat_throttles() -> int:
    folder = ROOT / "sys/devices/system/cpu"
    files = folder.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    return sum(int(_first(file) or 0) for file in files)


def _group_throttles() -> tuple[int, float]:
    """How often our control group was throttled by its CPU quota, and for how many seconds."""
    folder = own_group()
    files = [folder / "cpu.stat"] if folder is not None else []
    files += [ROOT / "sys/fs/cgroup/cpu/cpu.stat"]  # version 1, as a container sees its own
    for file in files:
        counts = dict(line.split()[:2] for line in _lines(file) if len(line.split()) > 1)
        if "nr_throttled" in counts:
            micro, nano = int(counts.get("throttled_usec", 0)), int(counts.get("throttled_time", 0))
            return int(counts["nr_throttled"]), micro / 1e6 + nano / 1e9
    return 0, 0.0


def _swapped_pages() -> int:
    counts = dict(line.split()[:2] for line in _lines("proc/vmstat"))
    return int(counts.get("pswpin", 0)) + int(counts.get("pswpout", 0))


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
