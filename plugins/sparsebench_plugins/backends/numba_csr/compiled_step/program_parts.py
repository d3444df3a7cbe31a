"""The parts from which a program is made: the network, its targets, and memory that programs
share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.samples import ScaledCsrRows, ScaledRows
from sparsebench.core.nn.buffers import Buffer
from sparsebench.core.protocols import Optimizer, Unit
from sparsebench_plugins.backends.numba_csr.compiled_step import kernel_numbers
from sparsebench_plugins.backends.numba_csr.compiled_step.records import address
from sparsebench_plugins.backends.numba_csr.layer import NumbaCsrLayer

Array = npt.NDArray[Any]
Fields: TypeAlias = dict[str, int]
"""Fields of a record by name."""


CsrInputs = CsrBatch | ScaledCsrRows
Inputs = Array | ScaledRows | CsrInputs
"""A batch (features, N), or the rows of which batches are chosen."""


@dataclass(frozen=True)
class Goal:
    """The targets: labels (n,), numbers (n, K), or the inputs themselves if there are no values.

    by_row  whether values are looked up by row; if not, they are those of the batch, (N,) or (K, N)
    """

    values: Array | None
    by_row: bool

    @property
    def labels(self) -> bool:
        return self.values is not None and self.values.ndim == 1


@dataclass
class Parts:
    """The parts of a network that all its programs share.

    loss         number of the loss in `kernel_numbers`
    activations  buffers for the outputs of each layer
    shared       scratch arrays by name, which hold nothing between steps
    """

    layers: Sequence[NumbaCsrLayer]
    units: Sequence[Unit]
    loss: int
    optimizer: Optimizer
    activations: Sequence[Buffer]
    shared: dict[str, Buffer] = field(default_factory=dict)
    _read: dict[tuple[int, str], tuple[int, Fields]] = field(default_factory=dict)

    def room(self, name: str, rows: int, N: int, dtype: Any = np.float32) -> Array:
        """A scratch array (rows, N), in memory of that name that all programs share; it grows to
        what the largest one needs."""
        found = self.shared.get(name)
        if found is None or found.rows < rows:
            found = self.shared[name] = Buffer(rows, dtype)
        return found.view(rows, N)

    def arrays(self, number: int, order: Callable[[NumbaCsrLayer], Fields]) -> Fields:
        """The fields that `order` reads from a layer, cached for all programs until the layer's
        arrays change."""
        layer, key = self.layers[number], (number, order.__name__)
        version, fields = self._read.get(key, (-1, {}))
        if version != layer.version:
            fields = order(layer)
            self._read[key] = layer.version, fields
        return fields

    def widest(self, X: Inputs) -> int:
        """The most neurons or features in an array of activations. Csr inputs are in none."""
        inputs = 0 if isinstance(X, CsrInputs) else self.layers[0].shape[1]
        return max(inputs, *(layer.shape[0] for layer in self.layers))

    def through_layers(self, X: Inputs) -> Sequence[NumbaCsrLayer]:
        """The layers whose inputs are arrays."""
        return self.layers[1:] if isinstance(X, CsrInputs) else self.layers

    @property
    def connections(self) -> int:
        return sum(layer.nnz for layer in self.layers)

    def curve(self, number: int) -> int | None:
        """The number in `kernel_numbers` of the activation after layer `number`; None if there is
        none, or if the layer's own kernel computes it."""
        return (
            kernel_numbers.activation_number(self.units[number])
            if number < len(self.units)
            else None
        )


def by_row(layer: NumbaCsrLayer) -> Fields:
    """The fields for passes along rows."""
    return {
        "nnz": layer.nnz, "indptr": address(layer.pattern.indptr),
        "indices": address(layer.pattern.indices), "data": address(layer.data),
    }  # fmt: skip


def by_column(layer: NumbaCsrLayer) -> Fields:
    """The further fields for the backward pass of large batches."""
    layer.weights_by_column()
    return by_column_alone(layer) | {"place": address(layer.by_column().place)}


def by_column_alone(layer: NumbaCsrLayer) -> Fields:
    """The fields for csr inputs, with weights of which some updates may be postponed."""
    own = layer.columns()
    return {
        "nnz": layer.nnz, "widest": own.order.widest, "t_indptr": address(own.order.indptr),
        "rows": address(own.order.rows), "w": address(own.w), **state(layer.slots),
    }  # fmt: skip


def by_block(layer: NumbaCsrLayer) -> Fields:
    """The fields for both passes of small batches."""
    blocks = layer.by_block()
    return {
        "nnz": layer.nnz, "R": blocks.row_cuts.size - 1, "C": blocks.column_cuts.size - 1,
        "row_cuts": address(blocks.row_cuts), "column_cuts": address(blocks.column_cuts),
        "starts": address(blocks.starts), "rows": address(blocks.rows),
        "columns": address(blocks.columns), "w": address(layer.data), **state(layer.slots),
    }  # fmt: skip


def state(slots: Sequence[Array]) -> Fields:
    """The fields for the optimizer's state arrays, at most two."""
    return dict(zip(("first", "second"), map(address, slots), strict=False))
