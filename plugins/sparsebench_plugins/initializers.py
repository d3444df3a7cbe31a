"""Values of new connections. Light: numpy is imported where it is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

if TYPE_CHECKING:
    import numpy as np

    from sparsebench.core.arrays import Vector
    from sparsebench.core.sparse.csr import CsrPattern


@dataclass(frozen=True)
class UniformByFan:
    """Uniform within a limit that depends on the connections of a neuron.

    fan  dense: D in and K out, as the papers do, whatever the density;
    sparse: the connections a neuron has on average, nnz / K in and nnz / D out
    """

    fan: Literal["dense", "sparse"] = "dense"

    def limit(self, fan_in: float, fan_out: float) -> float:
        raise NotImplementedError

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        """In [-limit, limit), float32 from the start."""
        K, D = pattern.shape
        fans = float(D), float(K)
        if self.fan == "sparse":
            fans = max(1.0, pattern.nnz / K), max(1.0, pattern.nnz / D)
        limit = self.limit(*fans)
        values = rng.random(count, dtype="float32")
        values *= values.dtype.type(2 * limit)
        values -= values.dtype.type(limit)
        return values


class HeUniform(UniformByFan):
    """Uniform within sqrt(6 / fan_in). He et al. (2015), arXiv 1502.01852."""

    def limit(self, fan_in: float, fan_out: float) -> float:
        return math.sqrt(6 / fan_in)


class XavierUniform(UniformByFan):
    """Uniform within sqrt(6 / (fan_in + fan_out)). Glorot and Bengio (2010)."""

    def limit(self, fan_in: float, fan_out: float) -> float:
        return math.sqrt(6 / (fan_in + fan_out))


@dataclass(frozen=True)
class Normal:
    """N(0, deviation^2), as the released truly sparse codes draw."""

    deviation: Annotated[float, Interval(gt=0)] = 0.1

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        values = rng.standard_normal(count, dtype="float32")
        values *= values.dtype.type(self.deviation)
        return values


@dataclass(frozen=True)
class Zeros:
    """0.0: for grown connections, as masks and RigL start them."""

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        import numpy as np

        return np.zeros(count, dtype=np.float32)
