"""The calls that a network, a trainer and a topology update make of a layer. Imports numpy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsebench.core.arrays import Matrix
from sparsebench.core.audit.sizes import PER_NEURON, Shape, Sizes
from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.protocols import Backend, Optimizer
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern

RATE = 1e-6
MOVED = 0.05
"""Share of the connections that each topology change replaces."""


class Subject:
    """A layer of one shape, and every call that is made of it in training and evaluation.

    The arrays that go in and come out are there, and written, before the layer is made: what a
    call takes is the backend's. Calls are repeatable; the topology goes on moving.
    """

    def __init__(self, backend: Backend, optimizer: Optimizer, shape: Shape, sizes: Sizes) -> None:
        self._backend = backend
        self._optimizer = optimizer
        self._sizes = sizes
        self._rng = np.random.default_rng(0)
        self._steps = itertools.count(1)
        self.shape = shape
        (K, D), N = shape, sizes.batch
        self._X, self._DX = self._samples(D, N), self._samples(D, N)
        self._Z, self._DZ = self._samples(K, N), self._samples(K, N)
        self._given = self._matrix()
        self._change: Change | None = None
        self.layer: Any = None

    def calls(self) -> dict[str, Callable[[], object]]:
        """The calls by name, in the order to make them, each after `prepare`."""
        calls: dict[str, Callable[[], object]] = {
            "build": self.build,
            "forward": lambda: self.layer.forward(self._X, self._Z),
            "backward_and_step": self._fused,
            "backward, gradients, step": self._apart,
            "weights, state": lambda: (self.layer.weights(), self.layer.state()),
            "change": lambda: self.layer.apply_change(self._change),
            "forward after change": lambda: self.layer.forward(self._X, self._Z),
        }
        through = Through.of(self._backend, self._optimizer, self.shape, self._sizes)
        if through is not None:
            calls["forward_through"] = lambda: through.forward(self.layer, next(self._steps))
            calls["backward_through"] = lambda: through.backward(self.layer, next(self._steps))
            calls["evaluation"] = lambda: through.forward(self.layer, None)
        return calls

    def build(self) -> None:
        bias = np.zeros(self.shape[0], dtype=np.float32)
        self.layer = self._backend.layer(self._given, bias, self._optimizer)

    def prepare(self, call: str) -> None:
        """Make the arguments of the call, and free those of the last one."""
        if call == "build":
            self.layer = None
            self._given = self._matrix()
        self._change = self._moved() if call == "change" else None

    def _fused(self) -> None:
        self.layer.backward_and_step(self._X, self._DZ, self._DX, RATE, next(self._steps))

    def _apart(self) -> None:
        self.layer.backward(self._X, self._DZ, self._DX)
        self.layer.gradients()
        self.layer.step(RATE, next(self._steps))

    def _matrix(self) -> CsrMatrix:
        pattern = random_pattern(self.shape, self._sizes.nnz, self._rng)
        return CsrMatrix(pattern, self._values(pattern.nnz))

    def _moved(self) -> Change:
        """A change that drops some connections and grows as many at free positions."""
        pattern, D = self.layer.weights().pattern, self.shape[1]
        keep = self._rng.random(pattern.nnz) >= MOVED
        count = int(pattern.nnz - np.count_nonzero(keep))
        drawn = np.unique(self._rng.integers(self.shape[0] * D, size=4 * count))
        free = np.setdiff1d(drawn, pattern.keys()[keep], assume_unique=True)
        grown = np.sort(self._rng.permutation(free)[:count])
        return Change(keep, grown // D, grown % D, self._values(grown.size))

    def _values(self, count: int) -> Matrix:
        """Weights of the size that an initializer would draw."""
        scale = PER_NEURON**-0.5
        values: Matrix = self._rng.standard_normal(count, dtype=np.float32)
        values *= np.float32(scale)
        return values

    def _samples(self, neurons: int, N: int) -> Matrix:
        """Normal numbers, aligned in memory like the network's own arrays."""
        numbers: Matrix = aligned_empty((neurons, N))
        self._rng.standard_normal(dtype=np.float32, out=numbers)
        return numbers


class Through:
    """The passes of a `ThroughLayer` in the middle of a network: a feeder layer of one connection
    a neuron gives the unit below its bits, in the arrays of the backend's own type."""

    def __init__(self, backend: Any, feeder: Any, shape: Shape, N: int) -> None:
        (K, D), dtype = shape, np.dtype(getattr(backend, "activation_dtype", np.float32))
        self._below, self._unit = backend.unit(0.0, None), backend.unit(0.0, None)
        self._feeder = feeder
        self._x = np.ones((1, N), dtype=np.float32)
        self._X, self._DX = (_zeros(D, N, dtype) for _ in range(2))
        self._A, self._DZ = (_zeros(K, N, dtype) for _ in range(2))

    @classmethod
    def of(cls, backend: Any, optimizer: Optimizer, shape: Shape, sizes: Sizes) -> Through | None:
        """None for a backend without activation units of its own."""
        if not hasattr(backend, "unit"):
            return None
        D = shape[1]
        pattern = random_pattern((D, 1), D, np.random.default_rng(0))
        W = CsrMatrix(pattern, np.ones(D, dtype=np.float32))
        feeder = backend.layer(W, np.zeros(D, dtype=np.float32), optimizer)
        if not hasattr(feeder, "forward_through"):
            return None
        return cls(backend, feeder, shape, sizes.batch)

    def forward(self, layer: Any, t: int | None) -> None:
        self._feeder.forward_through(self._x, None, self._X, self._below, t)
        layer.forward_through(self._X, self._below, self._A, self._unit, t)

    def backward(self, layer: Any, t: int) -> None:
        layer.backward_through(self._X, self._below, self._DZ, self._unit, self._DX, RATE, t)


def _zeros(neurons: int, N: int, dtype: Any) -> Any:
    """Written, so that they are resident."""
    array = aligned_empty((neurons, N), dtype)
    array[...] = 0
    return array
