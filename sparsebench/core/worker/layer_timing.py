"""Timing a backend's layers, in a trial's kind of process. Imports numpy."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.ladder import Ladder, Point
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.methods.view import NetworkView
from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.protocols import LayerSignals
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.work import Work

Matrix = npt.NDArray[np.float32]
Call = Callable[[], object]
Passes = tuple[Call, Call, Call, Call | None]
"""Forward, backward, backward without a gradient further down, and the activation."""

LONGEST = 0.5
"""Seconds of a step; no third size or later one is tried whose step would take longer."""

REPEATS = 5
RATE = 1e-6


def time_ladder(work: Work, ladder: Ladder) -> dict[str, Any]:
    """The JSON of `rates.Rates`."""
    truly_sparse = bool(work.backend.truly_sparse)
    _point(work, ladder, ladder.works[0], truly_sparse)  # loads what is compiled
    points: list[Point] = []
    for size in ladder.works:
        if len(points) > 1 and _next_step(points[-2], points[-1], size) > LONGEST:
            break
        points.append(_point(work, ladder, size, truly_sparse))
    return {
        "batch": ladder.batch,
        "truly_sparse": truly_sparse,
        "points": [asdict(point) for point in points],
    }


def _next_step(before: Point, last: Point, size: int) -> float:
    """Seconds of a step, if each connection more costs what it did from one point to the next."""
    each = max(0.0, last.step - before.step) / (last.work - before.work)
    return last.step + each * (size - last.work)


def _point(work: Work, ladder: Ladder, size: int, truly_sparse: bool) -> Point:
    """A square layer: as many connections by neuron as in the suite, none twice."""
    width = math.isqrt(size)
    if truly_sparse:
        width = max(width + 1, round(size / (2 * ladder.per_neuron)))
    nnz = min(size, width * width, max(1, round(2 * width * ladder.per_neuron)))
    rng = np.random.default_rng(0)
    pattern = random_pattern((width, width), nnz, rng)
    W = CsrMatrix(pattern, work.model.initializer.draw(pattern, nnz, rng))
    layer = work.backend.layer(W, np.zeros(width, dtype=np.float32), work.optimizer)
    passes = _through if hasattr(layer, "forward_through") else _plain
    forward, backward, backward_first, unit = passes(work, layer, ladder.batch)
    begin = _seconds(forward) + _seconds(backward)
    there, back = _usual(forward), _usual(backward)
    return Point(
        work=size,
        neurons=width,
        forward=there,
        backward=back,
        backward_first=_usual(backward_first),
        unit=_usual(unit) if unit is not None else 0.0,
        begin=max(0.0, begin - there - back),
        update=_usual(lambda: _update(work, layer)),
    )


def _plain(work: Work, layer: Any, N: int) -> Passes:
    """Layer and activation apart."""
    width, steps = layer.shape[0], itertools.count(1)
    X, DZ, Z, DX = (_samples(width, N) for _ in range(4))
    activation = getattr(work.model, "activation", None)
    unit = activation.unit(1, width, None) if activation is not None else None

    def backward(DX: Matrix | None) -> None:
        layer.backward_and_step(X, DZ, DX, RATE, next(steps))

    return (
        lambda: layer.forward(X, Z),
        lambda: backward(DX),
        lambda: backward(None),
        (lambda: unit.backward(unit.forward(Z, 1))) if unit is not None else None,
    )


def _through(work: Work, layer: Any, N: int) -> Passes:
    """The backend's own unit before the layer and behind it, where it has one for these."""
    backend: Any = work.backend
    activation = getattr(work.model, "activation", None)
    slope = activation.negative_slope(1) if activation is not None else None
    if slope is None:
        return _plain(work, layer, N)
    width, steps = layer.shape[0], itertools.count(1)
    X, DZ, Z, DX = (_samples(width, N, backend.activation_dtype) for _ in range(4))
    unit = backend.unit(slope, None)

    def backward(DX: Matrix | None, below: Any) -> None:
        layer.backward_through(X, below, DZ, unit, DX, RATE, next(steps))

    plain = _samples(width, N)
    return (
        lambda: layer.forward_through(X, unit, Z, unit, 1),
        lambda: backward(DX, unit),
        lambda: layer.backward_through(plain, None, DZ, unit, None, RATE, next(steps)),
        None,
    )


def _samples(width: int, N: int, dtype: Any = np.float32) -> Any:
    """Normal numbers; as bits of bfloat16 where that is the type."""
    numbers = aligned_empty((width, N))
    np.random.default_rng(0).standard_normal(dtype=np.float32, out=numbers)
    if np.dtype(dtype) == np.float32:
        return numbers
    bits = aligned_empty((width, N), dtype)
    bits[...] = numbers.view(np.uint32) >> 16
    return bits


def _update(work: Work, layer: Any) -> None:
    """One update of the topology, as if it were due."""
    step = TrainingStep(epoch=1, epochs=3, step=3, steps_per_epoch=3, epoch_ended=True)
    W, N = layer.weights(), work.batch_size
    batch = [LayerSignals(_samples(W.shape[1], N), _samples(W.shape[0], N))] * 2
    view = NetworkView.of([W, W], work.model.initializer, step, batch=batch, momentum=[W.data] * 2)
    for update in itertools.islice(work.topology.layer_updates(view), 1):
        if update.change is not None:
            layer.apply_change(update.change)


def _usual(call: Call) -> float:
    """The median of a few calls; of fewer where they are long."""
    first = _seconds(call)
    repeats = REPEATS if first < LONGEST / REPEATS else 1
    return float(np.median([_seconds(call) for _ in range(repeats)]))


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
