"""Metrics of the trainer that calibrates the memory meter."""

from __future__ import annotations

from sparsebench.core.metric import Metric

CALIBRATION = (Metric("calibration_floor_bytes", "bytes", "ratio"),)
