"""What can be compared, on which scale, and which way is better. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsebench.errors import GateError, nearest

Scale = Literal["ratio", "points", "number", "exact"]
"""How two values differ: by a factor (tests on logarithms), by points of a percentage, by a
number, or not at all."""


@dataclass(frozen=True)
class Metric:
    """better  +1 if more is better, -1 if less is, 0 if neither is"""

    name: str
    scale: Scale
    better: int

    @property
    def is_time(self) -> bool:
        return self.name.endswith(("_seconds", "_per_second", "_share"))

    @property
    def is_memory(self) -> bool:
        return self.name in ("net_peak_bytes", "peak_rss_bytes")


_NAMES: dict[tuple[Scale, int], tuple[str, ...]] = {
    ("points", +1): (
        "test_accuracy", "best_test_accuracy", "validation_accuracy", "selected_test_accuracy",
    ),
    ("number", -1): ("train_loss", "test_loss"),
    ("ratio", -1): (
        "net_peak_bytes", "peak_rss_bytes", "epoch_seconds", "wall_seconds", "train_seconds",
        "topology_seconds", "eval_seconds", "observe_seconds", "warmup_seconds", "cpu_seconds",
        "start_seconds", "kernel_seconds",
    ),
    ("ratio", +1): ("samples_per_second", "bytes_per_second", "flops_per_second", "roofline_share"),
    ("exact", -1): ("stored_bytes", "bytes_sent", "kernel_bytes", "kernel_flops"),
    ("exact", 0): (
        "connections", "initial_connections", "dense_connections", "density", "neurons",
    ),
}  # fmt: skip

METRICS = {
    name: Metric(name, scale, better) for (scale, better), names in _NAMES.items() for name in names
}


def metric(name: str) -> Metric:
    """GateError, with the nearest name, for one that cannot be compared."""
    try:
        return METRICS[name]
    except KeyError:
        raise GateError(f"unknown metric {name!r}.{nearest(name, METRICS)}") from None
