"""Times a backend's layers in a process like that of a trial, to predict training times."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from sparsebench.core.data.samples import ArraySamples
from sparsebench.core.job import Ladder, Point
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.methods.view import NetworkView
from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.protocols import LayerSignals
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.work import Work

Call = Callable[[], object]

LONGEST = 0.5
"""From the third size on, timing ends before a size whose step is expected to take more seconds
than this."""

REPEATS = 5
FEATURES = 512
RATE = 1e-6


def time_ladder(work: Work, ladder: Ladder) -> dict[str, Any]:
    """Time the layers of the ladder, from small to large; returns `run.cost_prediction.Rates` as
    JSON."""
    _point(work, ladder, ladder.works[0])  # loads what is compiled
    points: list[Point] = []
    for size in ladder.works:
        if len(points) > 1:
            before, last = points[-2:]
            each = max(0.0, last.step - before.step) / (last.work - before.work)
            if last.step + each * (size - last.work) > LONGEST:
                break
        points.append(_point(work, ladder, size))
    return {
        "batch": ladder.batch,
        "truly_sparse": bool(work.backend.truly_sparse),
        "gather": _gather(ladder.batch),
        "points": [asdict(point) for point in points],
    }


def _gather(N: int) -> float:
    """Seconds to gather and scale one value of a batch."""
    X = np.ones((4 * N, FEATURES), dtype=np.float32)
    ones = np.ones((FEATURES, 1), dtype=np.float32)
    rows = np.random.default_rng(0).permutation(4 * N)
    samples = ArraySamples(X, rows, rows, ones, ones, "")
    return _usual(lambda: samples.batch(rows[:N])) / (N * FEATURES)


def _point(work: Work, ladder: Ladder, size: int) -> Point:
    """Time a square layer with the suite's number of connections per neuron.

    size  entries of W that the backend visits, as in `Ladder.works`
    """
    width = math.isqrt(size)
    if work.backend.truly_sparse:
        width = max(width + 1, round(size / (2 * ladder.per_neuron)))
    nnz = min(size, width * width, max(1, round(2 * width * ladder.per_neuron)))
    rng = np.random.default_rng(0)
    pattern = random_pattern((width, width), nnz, rng)
    W = CsrMatrix(pattern, work.model.initializer.draw(pattern, nnz, rng))
    layer = work.backend.layer(W, np.zeros(width, dtype=np.float32), work.optimizer)
    forward, backward, backward_first, unit = _passes(work, layer, ladder.batch)
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


def _passes(work: Work, layer: Any, N: int) -> tuple[Call, Call, Call, Call | None]:
    """Calls for forward, backward, backward without DX, and the activation. The last is None if the
    layer applies the activation itself, as a `ThroughLayer` does."""
    width, steps = layer.shape[0], itertools.count(1)
    activation = getattr(work.model, "activation", None)
    slope = activation.negative_slope(1) if activation is not None else None
    X, DZ, Z, DX = (_samples(width, N) for _ in range(4))
    if slope is None or not hasattr(layer, "forward_through"):
        unit = activation.unit(1, width, None) if activation is not None else None
        return (
            lambda: layer.forward(X, Z),
            lambda: layer.backward_and_step(X, DZ, DX, RATE, next(steps)),
            lambda: layer.backward_and_step(X, DZ, None, RATE, next(steps)),
            (lambda: unit.backward(unit.forward(Z, 1))) if unit is not None else None,
        )
    backend: Any = work.backend
    own = backend.unit(slope, None)
    below, delta, A, DA = (_samples(width, N, backend.activation_dtype) for _ in range(4))
    return (
        lambda: layer.forward_through(below, own, A, own, 1),
        lambda: layer.backward_through(below, own, delta, own, DA, RATE, next(steps)),
        lambda: layer.backward_through(X, None, delta, own, None, RATE, next(steps)),
        None,
    )


def _samples(width: int, N: int, dtype: Any = np.float32) -> Any:
    """Normal random numbers of this type; bfloat16 is stored as its bits."""
    numbers = aligned_empty((width, N))
    np.random.default_rng(0).standard_normal(dtype=np.float32, out=numbers)
    if np.dtype(dtype) == np.float32:
        return numbers
    bits = aligned_empty((width, N), dtype)
    bits[...] = numbers.view(np.uint32) >> 16
    return bits


def _update(work: Work, layer: Any) -> None:
    """Make one topology update of the layer, whether due or not. The method sees a network of two
    such layers."""
    step = TrainingStep(epoch=1, epochs=3, step=3, steps_per_epoch=3, epoch_ended=True)
    W, N = layer.weights(), work.batch_size
    batch = [LayerSignals(_samples(W.shape[1], N), _samples(W.shape[0], N))] * 2
    view = NetworkView.of([W, W], work.model.initializer, step, batch=batch, momentum=[W.data] * 2)
    for update in itertools.islice(work.topology.layer_updates(view), 1):
        if update.change is not None:
            layer.apply_change(update.change)


def _usual(call: Call) -> float:
    """The median seconds of up to REPEATS calls, after a first one; of a single call if calls take
    long."""
    first = _seconds(call)
    repeats = REPEATS if first < LONGEST / REPEATS else 1
    return float(np.median([_seconds(call) for _ in range(repeats)]))


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
