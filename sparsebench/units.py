"""Durations and sizes as people write them: "30m", "1h30m", "8GiB"."""

from __future__ import annotations

import math
import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip

_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")


def seconds(value: object) -> float:
    """Seconds of a duration; a bare number is seconds. ValueError if it is none, or not > 0."""
    return _amount(value, SECONDS, "a duration such as '30m'")


def size(value: object) -> int:
    """Bytes of a size; a bare number is bytes. ValueError if it is none, or less than 1."""
    amount = int(_amount(value, BYTES, "a size such as '8GiB'"))
    if amount < 1:
        raise ValueError(f"expected at least one byte, found {value!r}")
    return amount


def brief_size(amount: float) -> str:
    """1536 as 1.5 KiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def brief_seconds(amount: float) -> str:
    """5400 as 1h30m."""
    if amount < 60:
        return f"{amount:.1f}s"
    minutes, rest = divmod(round(amount), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def _amount(value: object, units: dict[str, float] | dict[str, int], wanted: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        amount = float(value) if abs(value) < 2**63 else math.inf
    elif isinstance(value, str):
        amount = _sum(value, units, wanted)
    else:
        raise ValueError(f"expected {wanted}, found {value!r}")
    if not (0 < amount < 2**63):
        raise ValueError(f"expected {wanted}, more than 0, found {value!r}")
    return amount


def _sum(text: str, units: dict[str, float] | dict[str, int], wanted: str) -> float:
    """Of all parts of text such as 1h30m."""
    try:
        return float(text)
    except ValueError:
        pass
    by_name = {name.lower(): amount for name, amount in units.items()}
    total, at = 0.0, 0
    for part in _PART.finditer(text):
        unit = by_name.get(part[2].lower())
        if part.start() != at or unit is None:
            break
        total, at = total + float(part[1]) * unit, part.end()
    if not text.strip() or text[at:].strip():
        raise ValueError(f"expected {wanted}, found {text!r}. Known units: {', '.join(units)}")
    return total
