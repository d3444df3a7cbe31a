"""Parses and formats durations and byte sizes as people write them: "30m", "1h30m", "8GiB"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip

_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")


def seconds(value: object) -> float:
    """Parse a duration and return its seconds; a bare number is seconds. Raises ValueError unless
    it is a duration above 0."""
    return _amount(value, SECONDS, "a duration such as '30m'")


def size(value: object) -> int:
    """Parse a size and return its bytes, rounded down; a bare number is bytes. Raises ValueError
    unless it is a size of at least 1."""
    amount = int(_amount(value, BYTES, "a size such as '8GiB'"))
    if amount < 1:
        raise ValueError(f"expected at least one byte, found {value!r}")
    return amount


def brief_size(amount: float) -> str:
    """Format bytes: 1536 is "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def brief_seconds(amount: float) -> str:
    """Format seconds: 5400 is "1h30m"."""
    if amount < 60:
        return f"{amount:.1f}s"
    minutes, rest = divmod(round(amount), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def _amount(value: object, units: Mapping[str, float], wanted: str) -> float:
    """A number, or the sum of the parts of a text such as 1h30m, in the unit whose factor is 1.
    Unit names are matched in any case. Raises ValueError, whose message says that
    `wanted` was expected."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected {wanted}, found {value!r}")
    try:
        amount = float(value) if isinstance(value, str) or abs(value) < 2**63 else math.inf
    except ValueError:
        by_name = {name.lower(): factor for name, factor in units.items()}
        amount, text, at = 0.0, str(value), 0
        for part in _PART.finditer(text):
            factor = by_name.get(part[2].lower())
            if part.start() != at or factor is None:
                break
            amount, at = amount + float(part[1]) * factor, part.end()
        if not text.strip() or text[at:].strip():
            known = ", ".join(units)
            raise ValueError(f"expected {wanted}, found {value!r}. Known units: {known}") from None
    if not 0 < amount < 2**63:
        raise ValueError(f"expected {wanted}, more than 0, found {value!r}")
    return amount
