"""The parameters of the backends on other libraries. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RivalParams:
    """No parameters."""
