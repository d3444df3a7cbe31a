"""A network of layers, with an activation unit after each layer but the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from sparsebench.core.archive import WithPrefix
from sparsebench.core.arrays import Array, Matrix, Rows, Vector
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.data.samples import RowSource
from sparsebench.core.nn.buffers import Buffer
from sparsebench.core.protocols import (
    CompiledStep,
    Layer,
    LayerSignals,
    Loss,
    MakesCompiledStep,
    Optimizer,
    ThroughLayer,
    Unit,
)
from sparsebench.core.sparse.gradients import spmm, spmm_t
from sparsebench.errors import Unsupported

Target = npt.NDArray[Any]
AfterBackward = Callable[[int, Batch, Matrix, int], None]


class LayeredNetwork:
    """A network of layers, one after the other.

    A_0 = X;  Z_l = W_l A_{l-1} + b_l;  A_l = dropout(f(Z_l)), kept for backward.

    A_l overwrites Z_l, so activations are stored once. Two scratch arrays hold the gradient during
    the backward pass. If the units are the backend's own (`through`), its layers apply them while
    they write their output, and the backend chooses the type and layout of the arrays between two
    layers. `units` may have one more unit than there are hidden layers; it follows the last layer
    and is never the backend's own.

    step_way  how the last step was made: "compiled", as one compiled call, or "layers", layer by
              layer

    Inputs may be a `CsrBatch`. It is made dense if the first layer does not accept csr.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        units: Sequence[Unit],
        loss: Loss,
        optimizer: Optimizer,
        dtype: npt.DTypeLike = np.float32,
        through: bool = False,
        plain_units: Callable[[], Sequence[Unit]] | None = None,
    ) -> None:
        """dtype        type of the arrays between two layers
        through      whether the units are the backend's own, so that layers are `ThroughLayer`s
        plain_units  makes units for plain float32 arrays. Without it, methods that observe the
                     network, such as `observe`, raise Unsupported
        """
        self.layers = layers
        self.units = units
        self._loss = loss
        self._optimizer = optimizer
        self._through = through
        self._dtype = np.dtype(dtype)
        self._plain_units = plain_units
        self._after_backward: AfterBackward | None = None
        self._compiled: CompiledStep | None = None
        self.step_way: Literal["compiled", "layers"] = "layers"
        self._activations = [Buffer(layer.shape[0], dtype) for layer in layers[:-1]]
        self._activations.append(Buffer(layers[-1].shape[0]))
        widest = max((layer.shape[0] for layer in layers[:-1]), default=0)
        self._scratch = (Buffer(widest, dtype), Buffer(widest, dtype))

    def compile_with(self, backend: MakesCompiledStep) -> None:
        """From now on, make each step as one compiled call if the backend can."""
        self._compiled = backend.compiled_step(
            self.layers, self.units, self._loss, self._optimizer, self._activations
        )

    def train_step(self, X: Batch, T: Target, rate: float, t: int) -> float:
        if self._compiled is not None:
            loss = self._compiled.train_step(X, T, rate, t)
            if loss is not None:
                self.step_way = "compiled"
                return loss
        self.step_way = "layers"
        return self._pass(X, T, t, rate)

    def train_steps(
        self,
        source: RowSource,
        targets: Array | None,
        rows: Rows,
        target_rows: Rows,
        N: int,
        rates: Sequence[float],
        t: int,
    ) -> npt.NDArray[np.float64] | None:
        if self._compiled is None:
            return None
        losses = self._compiled.train_steps(source, targets, rows, target_rows, N, rates, t)
        if losses is not None:
            self.step_way = "compiled"
        return losses

    def prepare(
        self, N: int, widest: int, connections: int, source: RowSource | None = None
    ) -> bool:
        if self._compiled is not None:
            self._compiled.prepare(N, widest, connections, source)
        return self._compiled is not None

    def take_seconds(self) -> dict[str, float]:
        return {} if self._compiled is None else self._compiled.take_seconds()

    def compute_gradients(
        self, X: Batch, T: Target, t: int, ready: Callable[[int], None] | None = None
    ) -> float:
        return self._pass(X, T, t, None, ready)

    def step(self, rate: float, t: int) -> None:
        for layer in self.layers:
            layer.step(rate, t)
        for unit in self.units:
            unit.step(self._optimizer, rate, t)

    def values(self) -> list[Vector]:
        found: list[Vector] = []
        for layer in self.layers:
            found += (layer.weights().data, layer.bias())
        return found + self._trained(lambda unit: unit.parameters())

    def gradients(self) -> list[Vector]:
        found: list[Vector] = []
        for layer in self.layers:
            found += layer.gradients()
        return found + self._trained(lambda unit: unit.gradients())

    def assign(self, values: Sequence[Vector]) -> None:
        for number, layer in enumerate(self.layers):
            layer.assign(*values[2 * number : 2 * number + 2])
        self._fill(lambda unit: unit.parameters(), values)

    def step_by(self, gradients: Sequence[Vector], rate: float, t: int) -> None:
        for number, layer in enumerate(self.layers):
            DW, Db = gradients[2 * number : 2 * number + 2]
            layer.step_by(DW, Db, rate, t)
        self._fill(lambda unit: unit.gradients(), gradients)
        for unit in self.units:
            unit.step(self._optimizer, rate, t)

    def _trained(self, of: Callable[[Unit], Mapping[str, Vector]]) -> list[Vector]:
        """Flat views of the arrays that `of` returns for each unit, in order."""
        return [array.reshape(-1) for unit in self.units for array in of(unit).values()]

    def _fill(self, of: Callable[[Unit], Mapping[str, Vector]], values: Sequence[Vector]) -> None:
        """Copy the entries of `values` that come after those of the layers into the units'
        arrays."""
        behind = values[2 * len(self.layers) :]
        for array, new in zip(self._trained(of), behind, strict=True):
            array[...] = new

    def observe(self, X: Batch, T: Target, t: int) -> tuple[float, list[LayerSignals]]:
        weights = [layer.weights() for layer in self.layers]
        units = self._copied_units()
        A: list[Any] = [X]
        for number, (layer, W) in enumerate(zip(self.layers, weights, strict=True)):
            Z = spmm(W, A[-1])
            Z += layer.bias()[:, None]
            A.append(units[number].forward(Z, t) if number < len(units) else Z)
        outputs = A[-1].copy()
        value, DZ = self._loss.value_and_gradient(A.pop(), T)
        for behind in units[len(weights) - 1 :]:
            DZ = behind.backward(DZ)
        A.append(outputs)
        signals = []
        for number in range(len(weights) - 1, -1, -1):
            signals.append(LayerSignals(A[number], DZ, A[number + 1]))
            if number > 0:
                DZ = units[number - 1].backward(spmm_t(weights[number], DZ))
        return value, signals[::-1]

    def activations(self, X: Batch, number: int) -> Matrix:
        """(K, N) the activations of a hidden layer, counted from 1, without dropout."""
        units = self._copied_units()
        A: Any = X
        for layer, unit in zip(self.layers[:number], units, strict=False):
            Z = spmm(layer.weights(), A)
            Z += layer.bias()[:, None]
            A = unit.forward(Z, None)
        activations: Matrix = A
        return activations

    def input_gradients(self, X: Batch, t: int) -> Iterator[Matrix]:
        """Yield for each output its gradient (D, N) with respect to the inputs, with the dropout
        masks of step t."""
        units, A = self._copied_units(), cast(Any, X)
        for layer, unit in zip(self.layers, units, strict=False):
            Z = spmm(layer.weights(), A)
            Z += layer.bias()[:, None]
            A = unit.forward(Z, t)
        weights = [layer.weights() for layer in self.layers]
        for output in range(self.layers[-1].shape[0]):
            DZ = np.zeros((self.layers[-1].shape[0], X.shape[1]), dtype=np.float32)
            DZ[output] = 1
            for number in range(len(weights) - 1, -1, -1):
                if number < len(units):
                    DZ = units[number].backward(DZ)
                DZ = spmm_t(weights[number], DZ)
            yield DZ

    def watch(self, after_backward: AfterBackward) -> None:
        """As `Observable.watch`. Raises Unsupported if arrays between two layers are not
        float32."""
        if self._dtype != np.float32:
            raise Unsupported(
                f"activations of {self._dtype} cannot be looked at in every step; set the "
                "backend's activations = 'float32'"
            )
        if self._through:
            self.units = self._copied_units()
            self._through = False
        self._compiled = None
        self._after_backward = after_backward

    def release_layers(self) -> list[Layer]:
        """Hand over the layers, so that the caller can free each one. The network cannot be used
        again before `replace_content`."""
        layers, self.layers, self._compiled = list(self.layers), (), None
        return layers

    def replace_content(self, other: LayeredNetwork) -> None:
        """Take over the content of another network of this model, whose layers may have other
        sizes. References to this object then see that network."""
        watched, step_way = self._after_backward, self.step_way
        vars(self).update(vars(other))
        self.step_way = step_way
        if watched is not None:
            self.watch(watched)

    def activated(self, index: int, z: Vector) -> Vector:
        """Outputs (K,) of a hidden layer's neurons for these pre-activations, in evaluation."""
        A: Vector = self._copied_units()[index].forward(z.reshape(-1, 1).copy(), None)
        return A.reshape(-1)

    def _copied_units(self) -> Sequence[Unit]:
        """Units for plain float32 arrays, with copies of the trained units' parameters. Raises
        Unsupported if the network was made without `plain_units`."""
        if self._plain_units is None:
            raise Unsupported("this network was made without plain units, so it cannot be observed")
        copies = self._plain_units()
        for copy, unit in zip(copies, self.units, strict=True):
            own = copy.parameters()
            for name, values in unit.parameters().items():
                own[name][...] = values
        return copies

    def outputs(self, X: Batch) -> Matrix:
        Z = None
        if self._compiled is not None:
            Z = self._compiled.outputs(X)
        if Z is None:
            Z = self._forward(X, None)[-1]
        return Z

    def loss(self, Z: Matrix, T: Target) -> float:
        return self._loss.value(Z, T)

    def parameters(self) -> dict[str, Vector]:
        """The trained parameters of the units, named `unit1.NAME` for the first hidden layer."""
        return {
            f"unit{number}.{name}": value
            for number, unit in enumerate(self.units, 1)
            for name, value in unit.parameters().items()
        }

    def saved(self) -> Iterator[tuple[str, Array]]:
        for name, part in self._parts():
            for key, array in part.saved():
                yield f"{name}.{key}", array

    def restore(self, saved: Mapping[str, Array]) -> None:
        for name, part in self._parts():
            part.restore(WithPrefix(saved, name))

    def _parts(self) -> Iterator[tuple[str, Layer | Unit]]:
        for number, layer in enumerate(self.layers, 1):
            yield f"layer{number}", layer
        for number, unit in enumerate(self.units, 1):
            yield f"unit{number}", unit

    def stored_bytes(self) -> dict[str, int]:
        """Bytes by purpose, over all layers."""
        total: dict[str, int] = {}
        for layer in self.layers:
            for purpose, size in layer.stored_bytes().items():
                total[purpose] = total.get(purpose, 0) + size
        if self._compiled is not None:
            for purpose, size in self._compiled.stored_bytes().items():
                total[purpose] = total.get(purpose, 0) + size
        buffers = (*self._activations, *self._scratch)
        total["activations"] = (
            total.get("activations", 0)
            + sum(buffer.nbytes for buffer in buffers)
            + sum(unit.stored_bytes() for unit in self.units)
        )
        return total

    def _unit(self, number: int) -> Unit | None:
        """The unit after hidden layer `number`, from 0; None for the last layer and for -1."""
        return self.units[number] if 0 <= number < len(self.layers) - 1 else None

    def _taken(self, X: Batch) -> Batch:
        """X in a form that the first layer accepts."""
        if isinstance(X, CsrBatch) and not getattr(self.layers[0], "takes_csr", False):
            return X.dense()
        return X

    def _forward(self, X: Batch, t: int | None) -> list[Any]:
        """[X, A_1, ..., Z_L]. Dropout applies only if t is the number of a training step; None is
        evaluation. If a unit follows the last layer, the last entry is A_L instead of Z_L."""
        A: list[Any] = [self._taken(X)]
        for number, layer in enumerate(self.layers):
            Z = self._activations[number].view(layer.shape[0], X.shape[1])
            unit = self._unit(number)
            if self._through:
                fused = cast(ThroughLayer, layer)
                fused.forward_through(A[-1], self._unit(number - 1), Z, unit, t)
            else:
                layer.forward(A[-1], Z)
                if unit is not None:
                    Z = unit.forward(Z, t)
            A.append(Z)
        for behind in self.units[len(self.layers) - 1 :]:
            A[-1] = behind.forward(A[-1], t)
        return A

    def _pass(
        self,
        X: Batch,
        T: Target,
        t: int,
        rate: float | None,
        ready: Callable[[int], None] | None = None,
    ) -> float:
        """Forward and backward. Returns the loss. Unless `rate` is None, each layer is also updated
        during backward."""
        A = self._forward(X, t)
        value, DZ = self._loss.value_and_gradient(A[-1], T)
        for behind in self.units[len(self.layers) - 1 :]:
            DZ = behind.backward(DZ)
            if rate is not None:
                behind.step(self._optimizer, rate, t)
        for number in range(len(self.layers) - 1, -1, -1):
            layer, below = self.layers[number], self._unit(number - 1)
            DX = None
            if number > 0:
                DX = self._scratch[number % 2].view(layer.shape[1], X.shape[1])
            if self._after_backward is not None:
                self._after_backward(number, A[number], DZ, t)
            if self._through:
                fused = cast(ThroughLayer, layer)
                unit = self._unit(number)
                fused.backward_through(A[number], below, DZ, unit, DX, rate, t)
            elif rate is None:
                layer.backward(A[number], DZ, DX)
            else:
                layer.backward_and_step(A[number], DZ, DX, rate, t)
            if DX is not None and below is not None:
                DZ = DX if self._through else below.backward(DX)
                if rate is not None:
                    below.step(self._optimizer, rate, t)
            if ready is not None:
                ready(number)
        return value
