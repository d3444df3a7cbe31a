"""Measuring a backend's layers for dense work and dense storage. Imports numpy."""

from __future__ import annotations

import ctypes
import gc
import time
from contextlib import suppress

from sparsebench.core.audit.calls import Subject
from sparsebench.core.audit.evidence import Evidence, Point, beyond_doubt, suspicious
from sparsebench.core.audit.sizes import Shape, Sizes
from sparsebench.core.protocols import Backend, Optimizer
from sparsebench.core.worker import memory

FEWEST, ENOUGH, MOST = 3, 8, 40
"""Repeats of each call: more than the fewest while one still looks dense, more than enough while
it does not look dense beyond doubt. Other programs make some of them longer, never shorter, so
that the shortest tells."""

PATIENCE = 3.0
"""Seconds after which no further repeats begin."""


def probe(backend: Backend, optimizer: Optimizer, sizes: Sizes) -> Evidence:
    """Probe every call of a layer on three shapes: first memory, then time, in turns."""
    _memory(backend, optimizer, (sizes.side // 8, sizes.side // 8), sizes)  # loads and compiles
    start = time.perf_counter()
    weighed = [_memory(backend, optimizer, shape, sizes) for shape in sizes.shapes]
    evidence = Evidence(truly_sparse=_claim(backend), sizes=sizes, points=tuple(weighed), spent=0.0)
    timed = _timed(backend, optimizer, evidence)
    spent = time.perf_counter() - start
    return Evidence(evidence.truly_sparse, sizes, timed, spent)


def _claim(backend: Backend) -> bool | None:
    said = getattr(backend, "truly_sparse", None)
    return bool(said) if said is not None else None


def _memory(backend: Backend, optimizer: Optimizer, shape: Shape, sizes: Sizes) -> Point:
    """Peak memory of each call above the memory before the layer was made."""
    subject = Subject(backend, optimizer, shape, sizes)
    calls = subject.calls()
    subject.prepare("build")
    _let_go()
    before = _resident()
    peaks: dict[str, int] = {}
    for name, call in calls.items():
        if name != "build":
            subject.prepare(name)
        can_reset = memory.reset_peak()
        call()
        now = memory.read()
        if can_reset and now is not None:
            peaks[name] = max(0, now.peak - before)
    declared = sum(subject.layer.stored_bytes().values())
    _let_go()
    return Point(shape, declared, max(0, _resident() - before), peaks, {})


def _timed(backend: Backend, optimizer: Optimizer, found: Evidence) -> tuple[Point, ...]:
    """The points with the shortest of each call's repeats.

    The shapes take turns, so that a disturbance of the machine slows all of them.
    """
    subjects = [Subject(backend, optimizer, shape, found.sizes) for shape in found.sizes.shapes]
    calls = [subject.calls() for subject in subjects]
    shortest: list[dict[str, float]] = [{} for _ in subjects]
    deadline = time.perf_counter() + PATIENCE
    points = found.points
    for repeat in range(1, MOST + 1):
        for name in calls[0]:
            for subject, own, best in zip(subjects, calls, shortest, strict=True):
                subject.prepare(name)
                start = time.perf_counter()
                own[name]()
                took = time.perf_counter() - start
                best[name] = min(took, best.get(name, took))
        points = tuple(
            Point(point.shape, point.declared, point.held, point.peaks, dict(best))
            for point, best in zip(found.points, shortest, strict=True)
        )
        if repeat >= FEWEST and (time.perf_counter() > deadline or not suspicious(points)):
            break
        if repeat >= ENOUGH and beyond_doubt(points):
            break
    return points


def _resident() -> int:
    now = memory.read()
    return now.rss if now is not None else 0


def _let_go() -> None:
    """Return freed memory to the system: glibc would keep it, and it would count as used before."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
