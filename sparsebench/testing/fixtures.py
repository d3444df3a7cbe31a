"""Small layers, networks and helpers that all checks share."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern

SHAPES = [(30, 40), (30, 30), (4, 30)]
"""The shapes (outputs, inputs) of the layers of a small network."""


@dataclasses.dataclass(frozen=True)
class UniformWeights:
    """A simple initializer for checks of other components."""

    def draw(self, pattern: Any, count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        return rng.uniform(-0.5, 0.5, count).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class ConstantRate:
    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        return 1.0


@dataclasses.dataclass(frozen=True)
class PlainDescent:
    """Gradient descent with momentum 0.5. Its state array shows whether a layer's optimizer state
    moves with its connections."""

    learning_rate: float = 0.1
    schedule: ConstantRate = ConstantRate()
    slots: tuple[str, ...] = ("momentum",)

    def update(self, w: Any, g: Any, state: Any, rate: float, t: int, kind: str) -> None:
        (v,) = state
        v *= w.dtype.type(0.5)
        v += g
        w -= w.dtype.type(rate) * v


def random_matrix(
    shape: tuple[int, int], nnz: int, rng: np.random.Generator, dtype: type = np.float32
) -> CsrMatrix:
    """A canonical matrix with `nnz` connections at random positions and normally distributed
    values."""
    pattern = random_pattern(shape, nnz, rng)
    return CsrMatrix(pattern, rng.standard_normal(nnz).astype(dtype))


def random_layers(counts: Sequence[int]) -> list[CsrMatrix]:
    """Layers of `SHAPES` with these numbers of connections."""
    return [
        random_matrix(shape, nnz, np.random.default_rng(index))
        for index, (shape, nnz) in enumerate(zip(SHAPES, counts, strict=True))
    ]


def to_dense(W: CsrMatrix) -> npt.NDArray[Any]:
    """W as a dense array (K, D); for small layers only."""
    dense = np.zeros(W.shape, dtype=W.data.dtype)
    dense[W.rows, W.indices] = W.data
    return dense


def training_steps(epochs: int = 4, steps_per_epoch: int = 3) -> list[TrainingStep]:
    """The position after every step of a short training; in the last step of an epoch it has
    ended."""
    return [
        TrainingStep(
            epoch=epoch,
            epochs=epochs,
            step=(epoch - 1) * steps_per_epoch + step,
            steps_per_epoch=steps_per_epoch,
            epoch_ended=step == steps_per_epoch,
        )
        for epoch in range(1, epochs + 1)
        for step in range(1, steps_per_epoch + 1)
    ]


def check_parameters(component: Any) -> None:
    """Check that a component is a frozen dataclass whose parameters are JSON data or components."""
    cls = type(component)
    assert dataclasses.is_dataclass(cls), f"{cls.__name__} is not a dataclass of its parameters"
    assert cls.__dataclass_params__.frozen, (  # type: ignore[attr-defined]
        f"{cls.__name__} is not frozen: hyperparameters must not change while it is used"
    )
    for field in dataclasses.fields(cls):
        value = getattr(component, field.name)
        if dataclasses.is_dataclass(value):
            check_parameters(value)
        else:
            json.dumps(value)


def check_close(found: Any, expected: Any, what: str, tolerance: float = 1e-4) -> None:
    """Check that two arrays agree within `tolerance` times the largest expected value, or times 1
    if that is larger."""
    assert np.shape(found) == np.shape(expected), f"{what}: shape {np.shape(found)}"
    tolerance *= max(1.0, float(np.abs(expected).max(initial=0.0)))
    apart = float(np.abs(np.asarray(found, dtype=np.float64) - expected).max(initial=0.0))
    assert apart <= tolerance, f"{what}: off by {apart:.2e}, tolerance {tolerance:.2e}"


def peak_bytes(action: Callable[[], object]) -> int:
    """The peak in bytes of the memory that Python and numpy allocate during a call
    (tracemalloc)."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
