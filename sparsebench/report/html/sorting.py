"""What a table is sorted by: the numbers that a reader sees, in one unit."""

from __future__ import annotations

import re

from sparsebench.analysis.formats import BYTES, LARGE, SECONDS, UNKNOWN

UNITS = {
    **{unit: scale for scale, unit in (*SECONDS, *BYTES, *LARGE)},
    "min": 60.0,
    "h": 3600.0,
    "%": 0.01,
}

NUMBER = re.compile(
    r"[^\w+−-]*(?P<number>[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"(?:\s±\s[\d.,e+-]+)?"
    r"(?:\s(?P<unit>[A-Za-zµ%]+)(?![\w]))?"
)
BOUNDS = {"below": -1e-9, "above": 1e-9}
"""Before a number: it sorts next to it."""


def sort_key(shown: str) -> float | None:
    """The number that a cell begins with, in its basic unit: 0.0124 of `12.4 ± 0.2 ms (n = 3)`.

    None where it begins with none: such cells come last, whichever way a table is sorted.
    """
    text = shown.strip()
    head, _, tail = text.partition(" ")
    nudge = BOUNDS.get(head, 0.0)
    found = NUMBER.match(tail if nudge else text)
    if text == UNKNOWN or found is None:
        return None
    number = float(found["number"].replace(",", "").replace("−", "-"))
    scaled = number * UNITS.get(found["unit"] or "", 1.0)
    return scaled + nudge * abs(scaled)
