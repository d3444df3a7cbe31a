"""From what a probe measured to what it says of a backend. Light."""

from __future__ import annotations

from dataclasses import dataclass

from sparsebench.core.audit.evidence import Evidence, Point
from sparsebench.core.audit.growth import (
    DENSE_GROWTH,
    SPARSE_GROWTH,
    Growth,
    more_entries,
    slowest_growth,
)
from sparsebench.units import brief_size

DENSE_STORAGE = "dense-storage"
DENSE_WORK = "dense-work"
UNDECLARED = "undeclared-bytes"

MIB = 2**20

DECLARED_BYTES = 0.05
"""Bytes for each entry of K D by which declarations grow. They are exact; a bit an entry is
0.125."""

MEASURED_BYTES = 0.4
"""The same of measured memory: a mask of bytes is 1, float32 4. What the system's allocator
keeps here and gives back there came to at most 0.1 for truly sparse backends."""

FLOOR = 2 * MIB
"""Of measured growth: less may be the allocator's whatever the size."""

HELD_SHARE, HELD_FLOOR = 3.0, 6 * MIB
"""What a layer holds may be so many times what it declares, and so much more."""


@dataclass(frozen=True)
class Judgement:
    """flags  empty if nothing was found
    sure    whether that nothing was found means anything
    why     one sentence, with numbers
    numbers that a record keeps
    """

    flags: tuple[str, ...]
    sure: bool
    why: str
    numbers: dict[str, float | int | str]


def judge(found: Evidence) -> Judgement:
    """Both kinds of density, by their growth; then what is held and not declared."""
    slowest, biggest = slowest_growth(found.points), _biggest_growth(found)
    declared = found.square.declared - max(point.declared for point in found.thin)
    more = more_entries(found.points)
    flags, reasons = [], []
    if declared > DECLARED_BYTES * more:
        flags.append(DENSE_STORAGE)
        reasons.append(f"declares {declared / more:.1f} bytes more for each entry of K D")
    elif biggest is not None and _is_dense(biggest, more):
        flags.append(DENSE_STORAGE)
        reasons.append(
            f"{biggest.call} takes {brief_size(int(biggest.most))} where as many connections in a "
            f"thin layer take {brief_size(int(biggest.least))}"
        )
    if slowest.factor >= DENSE_GROWTH:
        flags.append(DENSE_WORK)
        reasons.append(f"{slowest.call} takes {_times(slowest)}")
    held = _undeclared(found.square)
    if held and not declared > DECLARED_BYTES * more:
        flags.append(UNDECLARED)
        reasons.append(held)
    unclear = _unclear(found, slowest)
    why = "; ".join(reasons) or unclear or _innocent(slowest, biggest)
    head = f"at {found.sizes.nnz:,} connections, K D growing {_span(found):.0f} times: "
    return Judgement(tuple(flags), not unclear, head + why, _numbers(found, slowest, biggest))


def worth_another_look(found: Evidence) -> bool:
    """Whether a backend that says it is truly sparse has not been found so: a second probe, at
    another moment, is cheap beside a false accusation."""
    judged = judge(found)
    return bool(found.truly_sparse) and (bool(judged.flags) or not judged.sure)


def _biggest_growth(found: Evidence) -> Growth | None:
    """Of the call whose memory grows most; None where memory is not measured exactly."""
    growths = []
    for call, most in found.square.peaks.items():
        least = max(point.peaks.get(call, 0) for point in found.thin)
        growths.append(Growth(call, least, most, most / max(least, 1)))
    return max(growths, key=lambda growth: growth.most - growth.least, default=None)


def _is_dense(growth: Growth, more: int) -> bool:
    risen = growth.most - growth.least
    return risen > FLOOR and risen > MEASURED_BYTES * more


def _undeclared(point: Point) -> str:
    """Why more is held than declared; empty if it is not."""
    if point.held <= HELD_SHARE * point.declared + HELD_FLOOR:
        return ""
    return f"holds {brief_size(point.held)} and declares {brief_size(point.declared)}"


def _unclear(found: Evidence, slowest: Growth) -> str:
    """Why finding nothing would mean nothing; empty if it means something."""
    if SPARSE_GROWTH <= slowest.factor < DENSE_GROWTH:
        return f"{slowest.call} takes {_times(slowest)}, too close to tell"
    if not found.square.peaks:
        return "this system has no high-water mark of memory that can be reset"
    if MEASURED_BYTES * more_entries(found.points) < FLOOR / 2:
        return f"a layer of {found.sizes.side} x {found.sizes.side}, all that fits, is too small"
    return ""


def _innocent(slowest: Growth, biggest: Growth | None) -> str:
    words = f"no call takes more than {max(slowest.factor, 1.0):.1f} times as long"
    risen = int(biggest.most - biggest.least) if biggest is not None else 0
    if risen <= 0:
        return words if biggest is None else f"{words}, nor any more memory"
    return f"{words}, nor more than {brief_size(risen)} more memory"


def _times(growth: Growth) -> str:
    return (
        f"{growth.factor:.1f} times as long "
        f"({growth.least * 1e3:.2g} ms to {growth.most * 1e3:.2g} ms)"
    )


def _span(found: Evidence) -> float:
    return found.square.size / found.thin[0].size


def _numbers(
    found: Evidence, slowest: Growth, biggest: Growth | None
) -> dict[str, float | int | str]:
    numbers: dict[str, float | int | str] = {
        "side": found.sizes.side,
        "batch": found.sizes.batch,
        "connections": found.sizes.nnz,
        "size_growth": round(_span(found), 2),
        "slowest_call": slowest.call,
        "time_growth": round(slowest.factor, 3),
        "thin_seconds": slowest.least,
        "square_seconds": slowest.most,
        "declared_bytes": found.square.declared,
        "held_bytes": found.square.held,
        "seconds": round(found.spent, 3),
    }
    if biggest is not None:
        numbers |= {
            "biggest_call": biggest.call,
            "thin_peak_bytes": int(biggest.least),
            "square_peak_bytes": int(biggest.most),
            "memory_growth": round(biggest.factor, 3),
        }
    return numbers
