"""What a trial's own bytes say of its backend, without any probe. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.analysis.honesty.judging import DENSE_STORAGE, MIB, UNDECLARED
from sparsebench.units import brief_size

FLOAT = 4

SMALL = 4 * MIB
"""Of dense weights: below it, what any trial takes is as large."""

PER_CONNECTION, PER_NEURON = 48, 64
"""Bytes that a truly sparse layer may store: two orders of Adam's weights, with room to spare."""

PEAK_SHARE, PEAK_FLOOR = 4.0, 8 * MIB
"""A net peak may be so many times what is stored, and so much more."""


@dataclass(frozen=True)
class Weight:
    """dense_bytes  of float32 matrices of these shapes
    why  one sentence, with numbers
    """

    flags: tuple[str, ...]
    why: str
    declared_bytes: int | None
    net_peak_bytes: int | None
    dense_bytes: int


def weigh(
    layers: Sequence[Mapping[str, Any]], measures: Mapping[str, Any], processes: int = 1
) -> Weight:
    """From a record's `layers` and `measures`; of a trial that failed there are few.

    processes  of the trial, each with a network of its own: the measured peak is that of all, what
               is declared is of one
    """
    dense = _dense_bytes(layers, measures)
    declared, peak = measures.get("stored_bytes"), measures.get("net_peak_bytes")
    flags, reasons = [], []
    full = [layer for layer in layers if _stores_all(layer)]
    if full:
        flags.append(DENSE_STORAGE)
        shapes = ", ".join("{} x {}".format(*layer["shape"]) for layer in full[:3])
        reasons.append(f"stores a value for each entry of K D in {len(full)} layers ({shapes})")
    hidden = _hidden(measures, layers, processes)
    if hidden:
        flags.append(UNDECLARED)
        reasons.append(hidden)
    if not flags:
        reasons.append(_plain(declared, peak, dense))
    return Weight(tuple(flags), "; ".join(reasons), declared, peak, dense)


def _dense_bytes(layers: Sequence[Mapping[str, Any]], measures: Mapping[str, Any]) -> int:
    if layers and all("shape" in layer for layer in layers):
        return FLOAT * sum(_entries(layer) for layer in layers)
    return FLOAT * int(measures.get("dense_connections") or 0)


def _entries(layer: Mapping[str, Any]) -> int:
    K, D = layer["shape"]
    return int(K) * int(D)


def _stores_all(layer: Mapping[str, Any]) -> bool:
    """Whether a layer declares a float for every entry, where connections alone need less than
    half of that: a dense topology says nothing."""
    stored = layer.get("stored_bytes")
    if not isinstance(stored, Mapping) or "shape" not in layer:
        return False
    nnz = max(int(layer.get("initial_connections") or 0), int(layer.get("connections") or 0))
    dense = FLOAT * _entries(layer)
    needed = PER_CONNECTION * nnz + PER_NEURON * sum(layer["shape"])
    return sum(stored.values()) >= dense and dense >= 2 * needed


def _hidden(
    measures: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], processes: int
) -> str:
    """Why the net peak is too high for what was declared; empty if it is not. What is missing
    has to be a byte for each entry of the largest layer: then a dense matrix may be hidden.
    A trial that times a kernel holds more than its network."""
    declared, peak = measures.get("stored_bytes"), measures.get("net_peak_bytes")
    times_a_kernel = measures.get("kernel_seconds") is not None
    if not declared or not peak or times_a_kernel or _dense_bytes(layers, measures) < SMALL:
        return ""
    known = processes * (PEAK_SHARE * declared + PEAK_FLOOR)
    largest = max((_entries(layer) for layer in layers if "shape" in layer), default=0)
    if peak <= known or peak - known < largest:
        return ""
    return f"its net peak of {brief_size(peak)} is far above the {brief_size(declared)} it declares"


def _plain(declared: int | None, peak: int | None, dense: int) -> str:
    if not declared or not peak:
        return "the trial left no bytes to compare"
    if dense < SMALL:
        return f"a network whose dense weights are {brief_size(dense)} is too small to tell"
    return (
        f"net peak {brief_size(peak)}, declared {brief_size(declared)}, dense weights "
        f"{brief_size(dense)}"
    )
