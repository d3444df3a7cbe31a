"""Small real things to check components with."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern


@dataclasses.dataclass(frozen=True)
class UniformWeights:
    """An initializer that no component under test brings."""

    def draw(self, pattern: Any, count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        return rng.uniform(-0.5, 0.5, count).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class ConstantRate:
    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        return 1.0


@dataclasses.dataclass(frozen=True)
class PlainDescent:
    """w -= rate (g + decay w) with a state array that counts updates: follows a connection."""

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
    """A canonical matrix with normal values."""
    pattern = random_pattern(shape, nnz, rng)
    return CsrMatrix(pattern, rng.standard_normal(nnz).astype(dtype))


def to_dense(W: CsrMatrix) -> npt.NDArray[Any]:
    """(K, D); for tests of small layers only."""
    dense = np.zeros(W.shape, dtype=W.data.dtype)
    dense[W.rows, W.indices] = W.data
    return dense


def check_parameters(component: Any) -> None:
    """A component is a frozen dataclass whose parameters are JSON data or components."""
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
