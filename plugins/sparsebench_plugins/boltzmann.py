"""The network of a restricted Boltzmann machine: one sparse layer that is used in both
directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.archive import WithPrefix
from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.protocols import Layer, Loss, Optimizer
from sparsebench.core.sparse.gradients import spmm_t
from sparsebench.seeds import generator
from sparsebench_plugins.losses import sigmoid

Target = npt.NDArray[Any]


class BoltzmannNetwork:
    """A restricted Boltzmann machine. Hidden units are 1 with probability sigmoid(W v + b); visible
    units have the mean sigmoid(W^T h + a).

    W (K, D) and b (K,) are those of the layer, a (D,) is `visible`. A step of contrastive
    divergence draws H0 from the data V0, and then computes V (the means of the visible units) and
    draws H, `gibbs` times. DW = (H V^T - H0 V0^T) / N, only where W has connections, is used like a
    gradient. The reported loss compares V with the data; the step does not follow its gradient.
    """

    def __init__(
        self, layer: Layer, optimizer: Optimizer, seed: int, loss: Loss, gibbs: int
    ) -> None:
        self.layers = [layer]
        self._optimizer, self._seed, self._loss, self._gibbs = optimizer, seed, loss, gibbs
        size = layer.shape[1]
        self._visible = np.zeros(size, dtype=np.float32)
        self._gradient = np.zeros(size, dtype=np.float32)
        self._state = [np.zeros(size, dtype=np.float32) for _ in optimizer.slots]

    def train_step(self, X: Batch, T: Target, rate: float, t: int) -> float:
        value = self.compute_gradients(X, T, t)
        self.step(rate, t)
        return value

    def compute_gradients(
        self, X: Batch, T: Target, t: int, ready: Callable[[int], None] | None = None
    ) -> float:
        V0 = X.dense() if isinstance(X, CsrBatch) else X
        N, rng = V0.shape[1], generator(self._seed, "gibbs", t)
        H0 = H = self._drawn_hidden(V0, rng)
        V = V0
        for _ in range(self._gibbs):
            V = self._visible_means(H)
            H = self._drawn_hidden(V, rng)
        both = _beside(V0, V)
        self.layers[0].backward(both, _beside(-H0, H) / np.float32(N), None)
        self._gradient[...] = (V - V0).mean(axis=1)
        if ready is not None:
            ready(0)
        return self._loss.value(V, T)

    def step(self, rate: float, t: int) -> None:
        self.layers[0].step(rate, t)
        self._optimizer.update(self._visible, self._gradient, self._state, rate, t, "bias")

    def outputs(self, X: Batch) -> Matrix:
        """(D, N) the means of the visible units after one step from X, with the same random draws
        at each call."""
        V = X.dense() if isinstance(X, CsrBatch) else X
        return self._visible_means(self._drawn_hidden(V, generator(self._seed, "gibbs")))

    def loss(self, Z: Matrix, T: Target) -> float:
        return self._loss.value(Z, T)

    def values(self) -> list[Vector]:
        layer = self.layers[0]
        return [layer.weights().data, layer.bias(), self._visible]

    def gradients(self) -> list[Vector]:
        return [*self.layers[0].gradients(), self._gradient]

    def assign(self, values: Sequence[Vector]) -> None:
        data, bias, visible = values
        self.layers[0].assign(data, bias)
        self._visible[...] = visible

    def step_by(self, gradients: Sequence[Vector], rate: float, t: int) -> None:
        DW, Db, visible = gradients
        self.layers[0].step_by(DW, Db, rate, t)
        self._optimizer.update(self._visible, visible, self._state, rate, t, "bias")

    def parameters(self) -> dict[str, Vector]:
        return {"visible": self._visible}

    def saved(self) -> Iterator[tuple[str, Array]]:
        for name, array in self.layers[0].saved():
            yield f"layer1.{name}", array
        yield "visible", self._visible
        for slot, array in zip(self._optimizer.slots, self._state, strict=True):
            yield f"visible.{slot}", array

    def restore(self, saved: Mapping[str, Array]) -> None:
        self.layers[0].restore(WithPrefix(saved, "layer1"))
        self._visible[...] = saved["visible"]
        for slot, array in zip(self._optimizer.slots, self._state, strict=True):
            array[...] = saved[f"visible.{slot}"]

    def stored_bytes(self) -> dict[str, int]:
        found = dict(self.layers[0].stored_bytes())
        own = (self._visible, self._gradient, *self._state)
        found["bias"] = found.get("bias", 0) + sum(array.nbytes for array in own)
        return found

    def _drawn_hidden(self, V: Matrix, rng: np.random.Generator) -> Matrix:
        """(K, N) random hidden units, 0 or 1."""
        Z: Matrix = aligned_empty((self.layers[0].shape[0], V.shape[1]))
        self.layers[0].forward(V, Z)
        drawn: Matrix = (sigmoid(Z) > rng.random(Z.shape, dtype=np.float32)).astype(np.float32)
        return drawn

    def _visible_means(self, H: Matrix) -> Matrix:
        Z = spmm_t(self.layers[0].weights(), H)
        Z += self._visible[:, None]
        return sigmoid(Z)


def _beside(A: Matrix, B: Matrix) -> Matrix:
    """[A, B], (K, 2 N)."""
    both: Matrix = aligned_empty((len(A), A.shape[1] + B.shape[1]))
    np.concatenate([A, B], axis=1, out=both)
    return both
