"""Parameters of the redistributions. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NoParams:
    """None."""
