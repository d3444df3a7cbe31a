"""Dealing out a whole number by weight, with a limit for each."""

from __future__ import annotations

import math
from collections.abc import Sequence


def share_out(total: int, weights: Sequence[float], limits: Sequence[int]) -> list[int]:
    """Parts of `total` in proportion to the weights, none above its limit.

    What is over is dealt in equal parts to those with room. Rounded by largest remainder, the
    earlier first. Raises ValueError if the limits leave no room for the total.
    """
    if total > sum(limits):
        raise ValueError(f"{total} connections do not fit into room for {sum(limits)}")
    whole = sum(weights)
    parts = (
        [
            min(limit, part)
            for part, limit in zip(
                _rounded(total, [w / whole for w in weights]), limits, strict=True
            )
        ]
        if whole > 0
        else [0] * len(limits)
    )
    while (over := total - sum(parts)) > 0:
        room = [index for index, part in enumerate(parts) if part < limits[index]]
        for index, more in zip(room, _rounded(over, [1 / len(room)] * len(room)), strict=True):
            parts[index] = min(limits[index], parts[index] + more)
    return parts


def _rounded(total: int, shares: Sequence[float]) -> list[int]:
    """Whole parts of total; the shares sum to 1."""
    exact = [total * share for share in shares]
    parts = [math.floor(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
    for index in order[: total - sum(parts)]:
        parts[index] += 1
    return parts
