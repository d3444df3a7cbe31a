"""The cache sizes of this machine, from sysfs."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
UNKNOWN_LAST = 64 * 2**20
"""Assumed size of the last cache, in bytes, if sysfs has none."""

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def caches(folder: Path = FOLDER) -> list[tuple[str, int]]:
    """(name, bytes) of each level that holds data, the nearest first; empty if unknown."""
    found = {}
    for entry in sorted(folder.glob("index*")):
        try:
            kind, number, size = (
                (entry / name).read_text().strip() for name in ("type", "level", "size")
            )
            if kind != "Instruction":
                found[int(number)] = int(size.rstrip("KMG")) * UNITS.get(size[-1:], 1)
        except (OSError, ValueError):
            continue
    return [(f"L{number}", size) for number, size in sorted(found.items())]


def last_cache(known: list[tuple[str, int]]) -> int:
    """Bytes of the last cache."""
    return known[-1][1] if known else UNKNOWN_LAST
