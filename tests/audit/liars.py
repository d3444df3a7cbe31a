"""Backends that say they are truly sparse. All but the honest one are not, each in its own way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sparsebench_plugins.backends.scipy_csr import ScipyCsr, ScipyCsrLayer
from sparsebench_plugins.models import MLP
from sparsebench_plugins.topologies.methods import SET

from sparsebench import hookimpl
from sparsebench.core.sparse.csr import CsrMatrix

TILE = 256


class KeepsDense(ScipyCsrLayer):
    """A dense W works, a csr that nobody reads is declared."""

    def __init__(self, W, bias, optimizer):
        super().__init__(W, bias, optimizer)
        self.hidden = self._matrix().toarray()

    def forward(self, X, Z):
        np.add(self.hidden @ X, self._bias[:, None], out=Z)

    def step(self, rate, t):
        super().step(rate, t)
        self.hidden[self._rows, self.pattern.indices] = self.data

    def apply_change(self, change):
        super().apply_change(change)
        self.hidden = self._matrix().toarray()


class DenseForAMoment(ScipyCsrLayer):
    """Backward makes a dense matrix, and lets go of it."""

    def backward(self, X, DZ, DX):
        super().backward(X, DZ, None)
        if DX is not None:
            DX[...] = self._matrix().toarray().T @ DZ


class DenseTiles(ScipyCsrLayer):
    """Forward multiplies every tile of W, one in memory at a time."""

    def forward(self, X, Z):
        W = self._matrix()
        for start in range(0, self.shape[0], TILE):
            strip = W[start : start + TILE].tocsc()
            total = np.zeros((strip.shape[0], X.shape[1]), dtype=np.float32)
            for left in range(0, self.shape[1], TILE):
                total += strip[:, left : left + TILE].toarray() @ X[left : left + TILE]
            Z[start : start + TILE] = total
        Z += self._bias[:, None]


class DenseChange(ScipyCsrLayer):
    """Only a change of topology goes through a dense mask of bytes."""

    def apply_change(self, change):
        super().apply_change(change)
        mask = np.zeros(self.shape, dtype=np.uint8)
        mask[self._rows, self.pattern.indices] = 1
        assert int(mask.sum()) == self.nnz


class DenseWeights(ScipyCsrLayer):
    """Who asks for the weights gets them out of a dense matrix."""

    def weights(self):
        return CsrMatrix(self.pattern, self._matrix().toarray()[self._rows, self.pattern.indices])


class Hoards(ScipyCsrLayer):
    """Keeps more than it declares, and nothing of it grows with K D."""

    def __init__(self, W, bias, optimizer):
        super().__init__(W, bias, optimizer)
        self.hoard = np.ones(24 * 2**20, dtype=np.uint8)


class DenseInside(ScipyCsrLayer):
    """Truly sparse by itself, dense once it applies the activation."""

    def forward_through(self, X, below, A, unit, t):
        np.maximum(self._matrix().toarray() @ X + self._bias[:, None], 0, out=A)

    def backward_through(self, X, below, DZ, unit, DX, rate, t):
        self.backward(X, DZ, DX)
        if rate is not None:
            self.step(rate, t)


BUFFER = np.ones(16 * 2**20, dtype=np.uint8)
"""Taken when this module is imported, which is before any baseline."""


class TakesMemoryEarly(ScipyCsrLayer):
    """A change of topology goes through a dense mask in memory that was there before."""

    def apply_change(self, change):
        super().apply_change(change)
        mask = BUFFER[: 4 * self.shape[0] * self.shape[1]]
        mask[...] = 0
        mask[:: max(1, mask.size // self.nnz)] = 1


class DenseAboveOnePercent(ScipyCsrLayer):
    """Sparse in small batches, below 1 % and in wide layers; dense where most people train."""

    def forward(self, X, Z):
        K, D = self.shape
        if X.shape[1] > 32 and self.nnz > 0.01 * K * D and K < 1500:
            np.add(self._matrix().toarray() @ X, self._bias[:, None], out=Z)
        else:
            super().forward(X, Z)


@dataclass(frozen=True)
class Liar(ScipyCsr):
    """how  the layer's class"""

    how: str = "ScipyCsrLayer"

    def layer(self, W, bias, optimizer):
        return LAYERS[self.how](W, bias, optimizer)


@dataclass(frozen=True)
class ThroughLiar(Liar):
    def unit(self, negative_slope, dropout):
        return object()


@dataclass(frozen=True)
class Raises(ScipyCsr):
    """Cannot make a layer of more than 1,500 neurons."""

    def layer(self, W, bias, optimizer):
        if sum(W.shape) > 1500:
            raise RuntimeError("not that large")
        return super().layer(W, bias, optimizer)


LAYERS = {
    layer.__name__: layer
    for layer in (
        ScipyCsrLayer,
        KeepsDense,
        DenseForAMoment,
        DenseTiles,
        DenseChange,
        DenseWeights,
        DenseInside,
        Hoards,
        TakesMemoryEarly,
        DenseAboveOnePercent,
    )
}


@dataclass(frozen=True)
class DenseTopology(SET):
    """Grows as SET does, through dense masks of all layers."""

    def layer_updates(self, network):
        masks = [np.ones(shape) for shape in network.shapes]
        assert sum(mask.sum() for mask in masks) > 0
        return super().layer_updates(network)


@dataclass(frozen=True)
class DenseModel(MLP):
    """Keeps a dense copy of every layer."""

    def network(self, layers, backend, optimizer, seed, loss):
        made = super().network(layers, backend, optimizer, seed, loss)
        made.copies = [np.ones(layer.shape, dtype=np.float32) for layer in layers]
        return made


@hookimpl
def register_topologies(register):
    register("dense-topology", DenseTopology)


@hookimpl
def register_models(register):
    register("dense-model", DenseModel)


@hookimpl
def register_backends(register):
    register("liar", Liar)
    register("raises", Raises)
