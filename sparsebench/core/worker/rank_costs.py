"""What each of a trial's processes took, and what all took together."""

from __future__ import annotations

import math
import resource
from collections.abc import Mapping, Sequence
from typing import Any

from sparsebench.core.worker.meter import Meter

BYTES = ("net_peak_bytes", "peak_rss_bytes", "baseline_rss_bytes")
COLUMNS = (*BYTES, "cpu_seconds", "exact")


def own_costs(meter: Meter) -> list[float]:
    """Of this process, in the order of `COLUMNS`; NaN where unknown."""
    known: Mapping[str, float | None] = {
        "net_peak_bytes": meter.net_peak_bytes(),
        "peak_rss_bytes": meter.peak_rss_bytes(),
        "baseline_rss_bytes": meter.baseline,
        "cpu_seconds": cpu_seconds(),
        "exact": float(meter.exact),
    }
    return [math.nan if (value := known[name]) is None else float(value) for name in COLUMNS]


def cpu_seconds() -> float:
    """Of this process until now, and of the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def add_up(told: Mapping[str, Any], rows: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The fields of a record of the first process, with the sums over all in their place, and what
    each took in its settings. Every process has its own peak at its own moment, so a sum of peaks
    is never less than the peak of the sum."""
    each = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    sums = {name: _sum([one[name] for one in each]) for name in COLUMNS}
    measures = {name: _whole(sums[name]) for name in ("net_peak_bytes", "peak_rss_bytes")}
    settings = {
        "exact": all(one["exact"] for one in each),
        "baseline_rss_bytes": _whole(sums["baseline_rss_bytes"]),
        "ranks": [
            {**{name: _whole(one[name]) for name in BYTES}, "cpu_seconds": one["cpu_seconds"]}
            for one in each
        ],
    }
    return {
        **told,
        "measures": {**told["measures"], **measures, "cpu_seconds": sums["cpu_seconds"]},
        "settings": {**told["settings"], **settings},
    }


def _sum(values: Sequence[float]) -> float:
    return math.fsum(values) if not any(map(math.isnan, values)) else math.nan


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else round(value)
