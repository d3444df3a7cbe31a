"""What the parallel trainers measure beside the training loop."""

from __future__ import annotations

from sparsebench.core.metric import Metric

PARALLEL = (
    Metric("topology_bytes_sent", "bytes", "exact", -1),
    Metric("retained_share", "fraction", "ratio", +1),
    Metric("master_busy_share", "fraction", "ratio", timed=True),
    Metric("worker_wait_share", "fraction", "ratio", -1, timed=True),
    Metric("link_latency_seconds", "seconds", "ratio", -1),
    Metric("link_bytes_per_second", "per second", "ratio", +1),
    Metric("union_connections", "count", "exact"),
    Metric("workers_net_peak_bytes", "bytes", "ratio", -1),
    Metric("shared_bytes", "bytes", "exact", -1),
)
