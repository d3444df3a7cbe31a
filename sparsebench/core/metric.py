"""The declaration of a measured quantity; the table of all is `sparsebench.metrics`. Light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["fraction", "seconds", "bytes", "count", "per second", "number"]
Scale = Literal["ratio", "points", "number", "exact"]
"""How two values differ: by a factor (tests on logarithms), by points of a percentage, by a
number, or not at all."""

Kind = Literal["trial", "epoch", "layer"]
"""Measured once a trial, once an epoch, or once an epoch for each layer."""


@dataclass(frozen=True)
class Metric:
    """A measured quantity, declared once: records, frames, claims, gates, tables and exports read
    this.

    name    the column
    unit    of the stored number; a fraction is shown as a percentage
    scale   how two values are compared
    better  +1 if more is better, -1 if less is, 0 if neither is
    kinds   what it is measured of
    title   words for a table's head; the name where empty
    """

    name: str
    unit: Unit = "number"
    scale: Scale = "number"
    better: Literal[-1, 0, 1] = 0
    kinds: tuple[Kind, ...] = ("trial",)
    title: str = ""
