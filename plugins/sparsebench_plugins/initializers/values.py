"""Values of new connections."""

from __future__ import annotations

import math

import numpy as np

from sparsebench.core.arrays import Vector
from sparsebench.core.sparse.csr import CsrPattern
from sparsebench_plugins.initializers.params import FanParams, NoParams, NormalParams


def _fans(pattern: CsrPattern, fan: str) -> tuple[float, float]:
    """Connections into an output neuron and out of an input neuron."""
    K, D = pattern.shape
    if fan == "dense":
        return float(D), float(K)
    return max(1.0, pattern.nnz / K), max(1.0, pattern.nnz / D)


def _uniform(limit: float, count: int, rng: np.random.Generator) -> Vector:
    """In [-limit, limit), float32 from the start."""
    values = rng.random(count, dtype=np.float32)
    values *= np.float32(2 * limit)
    values -= np.float32(limit)
    return values


class HeUniform(FanParams):
    """Uniform within sqrt(6 / fan_in). He et al. (2015), arXiv 1502.01852."""

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        fan_in, _ = _fans(pattern, self.fan)
        return _uniform(math.sqrt(6 / fan_in), count, rng)


class XavierUniform(FanParams):
    """Uniform within sqrt(6 / (fan_in + fan_out)). Glorot and Bengio (2010)."""

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        fan_in, fan_out = _fans(pattern, self.fan)
        return _uniform(math.sqrt(6 / (fan_in + fan_out)), count, rng)


class Normal(NormalParams):
    """N(0, deviation^2), as the released truly sparse codes draw."""

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        values = rng.standard_normal(count, dtype=np.float32)
        values *= np.float32(self.deviation)
        return values


class Zeros(NoParams):
    """0.0: for grown connections, as masks and RigL start them."""

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        return np.zeros(count, dtype=np.float32)
