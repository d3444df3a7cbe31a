"""The records of a network for one number of samples, in which its kernels find their arrays and
numbers.

A change of topology replaces arrays of the layers; then only their addresses and counts are
rewritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.samples import ScaledRows
from sparsebench_plugins.backends.numba_csr import arguments, optimizer_rules
from sparsebench_plugins.backends.numba_csr.activation_unit import NumbaUnit
from sparsebench_plugins.backends.numba_csr.arguments import Layout
from sparsebench_plugins.backends.numba_csr.compiled_step import smooth_activations
from sparsebench_plugins.backends.numba_csr.compiled_step.batch_split import Split
from sparsebench_plugins.backends.numba_csr.compiled_step.program_parts import (
    Array,
    CsrInputs,
    Fields,
    Goal,
    Inputs,
    Parts,
    by_block,
    by_column,
    by_column_alone,
    by_row,
    state,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.records import (
    BATCH,
    CSR_INPUT,
    CURVE,
    LAYER,
    STEP,
    TARGETS,
    VECTOR,
    address,
    fill,
    filled,
)
from sparsebench_plugins.backends.numba_csr.layer import ahead
from sparsebench_plugins.backends.numba_csr.simd import WIDTH as LANES

FIRST_CACHE = 2**15
"""Bytes of an L1 cache."""

NEAR = 12
"""Prefetch distance in connections for activations in the L2 cache. It halves the median time of
forward on a shared machine, and has no effect on an idle one."""


class NetworkRecords:
    """The records of one network; each is an array (1,) of the named type.

    step     STEP
    layers   a LAYER for each layer
    curves   CURVE by the layer's number, for activations that are not part of the layer's kernels
    vectors  VECTOR by name, for trained vectors besides weights
    batch    BATCH if inputs are copied into tiles; else None
    csr      CSR_INPUT if inputs are csr; else None
    targets  TARGETS; None if only outputs are computed
    losses   (tiles,)
    activations  the outputs of each layer
    index    the type of each layer's column numbers

    It keeps references to the arrays to which the records point, except those of the layers and of
    the caller, because these may be replaced and should then be freed.
    """

    def __init__(self, parts: Parts, cut: Split, X: Inputs, goal: Goal | None, N: int) -> None:
        self._of, self._cut, self._training = parts, cut, goal is not None
        self.csr: Array | None = None
        self._kept: list[Any] = []
        self._sums: dict[str, Array] = {}
        self.losses = np.zeros(cut.tiles)
        tiled = isinstance(X, ScaledRows) or (cut.by_samples and self._training)
        padded = -(-N // LANES) * LANES if tiled else N
        self.step = filled(
            STEP, N=N, padded=padded, width=cut.width, tiles=cut.tiles, per_piece=cut.per_piece,
            parts=address(self.losses),
        )  # fmt: skip
        sizes = {size for layer in parts.layers for size in layer.shape}
        self._whole = {size: self._table([0, size]) for size in sizes}
        self.layers = [self._layer(number) for number in range(len(parts.layers))]
        self.activations = self._activations(X, N, tiled)
        self.curves = {
            number: self._curve(number, kind)
            for number in range(len(parts.layers))
            if (kind := parts.curve(number)) is not None
        }
        for number, (below, above) in enumerate(pairwise(self.layers)):
            self._between(number, below[0], above[0])
        if cut.by_blocks and self._training:
            self._gradients(N)
        self.batch = None
        if isinstance(X, CsrInputs):
            self.csr = self._csr_input(X, padded)
        elif tiled:
            self.batch = self._batch(X)
        self.targets = self._targets(goal) if goal is not None else None
        self.vectors: dict[str, Array] = {}
        self._versions = [-1] * len(parts.layers)
        self.index = self.index_types()
        self.bind()

    def make_room(self, stored: int) -> None:
        """Make the arrays in which csr batches are sorted large enough for `stored` values."""
        assert self.csr is not None
        passes = self._of.layers[0].csr_passes()
        passes.make_room(stored)
        for name in ("features", "starts", "samples", "values"):
            self.csr[name] = address(getattr(passes, name))

    def set_inputs(self, X: Array | CsrBatch, T: Array | None) -> None:
        """Make the records point to the caller's arrays for a batch. T is None if the inputs are
        the targets, or if there are none."""
        if isinstance(X, CsrBatch):
            assert self.csr is not None
            self.make_room(X.data.size)
            for name in ("indptr", "indices", "data"):
                self.csr[name] = address(getattr(X, name))
        elif self.batch is not None:
            self.batch["data"] = address(X)
        else:
            self.layers[0]["X"] = address(X)
        if self.targets is not None and T is not None:
            self.targets["targets"] = address(T)
        elif self.targets is not None and self.batch is None:
            self.targets["targets"] = address(X)

    # --- the arrays of the layers ------------------------------------------------------

    @property
    def bound(self) -> bool:
        """Whether the records point to the layers' present arrays."""
        return self._versions == [layer.version for layer in self._of.layers]

    def index_types(self) -> list[Any]:
        """The type of each layer's column numbers: uint16 in blocks, else that of csr."""
        if self._cut.by_blocks:
            return [np.uint16] * len(self._of.layers)
        return [layer.pattern.indices.dtype.type for layer in self._of.layers]

    def bind(self) -> bool:
        """Make the records point to the layers' present arrays. Returns whether numbers of
        connections or blocks changed."""
        layers = self._of.layers
        before = self._counts()
        for number, layer in enumerate(layers):
            if self._versions[number] == layer.version:
                continue
            fill(self.layers[number], self._connections(number))
            if self._training:
                sums = int(self.layers[number][0]["bias_partial"])
                self._vector(f"bias {number}", layer.bias(), layer.bias_slots, sums)
        if self._training:
            for number in self.curves:
                self._parameters(number)
        self._versions = [layer.version for layer in layers]
        return before != self._counts()

    def _counts(self) -> list[Any]:
        """The numbers of connections and blocks of each layer."""
        return [record[name][0] for record in self.layers for name in ("nnz", "R", "C")]

    def _connections(self, number: int) -> Fields:
        parts, cut = self._of, self._cut
        layer = parts.layers[number]
        if self.csr is not None and number == 0:
            return parts.arrays(number, by_column_alone)
        if cut.by_blocks:
            return parts.arrays(number, by_block)
        fields = parts.arrays(number, by_row)
        bounds = {} if cut.by_samples else {"row_bounds": address(layer.row_chunks)}
        if not self._training:
            return fields | bounds
        fields = fields | parts.arrays(number, by_column)
        if cut.by_samples or (cut.tiles > 1 and not layer.absorbs):
            fields["partial"] = self._partial(f"weights {number}", layer.nnz)
        if not cut.by_samples:
            bounds["column_bounds"] = address(layer.by_column().chunks)
        return fields | bounds

    def _parameters(self, number: int) -> None:
        """Add the records of the vectors that an activation trains."""
        unit: Any = self._of.units[number]
        for name, values in unit.parameters().items():
            name, slots = f"curve {number} {name}", unit.slots(name, self._of.optimizer)
            self._vector(name, values, slots, address(self._sums[name]))

    def _vector(self, name: str, values: Array, slots: Sequence[Array], partial: int) -> None:
        if name not in self.vectors:
            self.vectors[name] = self._record(VECTOR, size=values.size, partial=partial)
        fill(self.vectors[name], {"values": address(values), **state(slots)})

    # --- what stays as it is -----------------------------------------------------------

    def _held(self, array: Array) -> int:
        """The address of an array; keeps a reference to it."""
        self._kept.append(array)
        return address(array)

    def _table(self, rows: Sequence[Any]) -> int:
        """The address of a table of int64."""
        return self._held(np.array(rows, dtype=np.int64))

    def _record(self, dtype: np.dtype[Any], **fields: Any) -> Array:
        return filled(dtype, step=address(self.step), **fields)

    def _partial(self, name: str, size: int) -> int:
        """The address of an array for partial sums (pieces, size)."""
        self._sums[name] = self._of.room(name, size, self._cut.pieces)
        return address(self._sums[name])

    def _layer(self, number: int) -> Array:
        K, D = self._of.layers[number].shape
        sums = self._partial(f"bias {number}", K) if self._training else 0
        return self._record(
            LAYER, K=K, D=D, backward=number > 0, bias=address(self._of.layers[number].bias()),
            bias_partial=sums, row_bounds=self._whole[K], column_bounds=self._whole[D],
        )  # fmt: skip

    def _activations(self, X: Inputs, N: int, tiled: bool) -> list[Array]:
        """The arrays for the outputs of each layer; writes their layouts into the records."""
        cut, parts = self._cut, self._of
        padded, rows = cut.width * cut.tiles, parts.layers[0].shape[1]
        if isinstance(X, CsrInputs):
            below, layout = np.empty((0, N), dtype=np.float32), arguments.plain(N)
        elif tiled:
            below = parts.room("inputs", rows, padded)
            layout = Layout(cut.width, cut.width, rows * cut.width)
            self.layers[0]["X"] = self._held(below)
        else:
            assert not isinstance(X, ScaledRows)
            below, layout = X, arguments.plain(N)
        found = []
        for number, (layer, record) in enumerate(zip(parts.layers, self.layers, strict=True)):
            plain = not self._training and number == len(parts.layers) - 1
            K = layer.shape[0]
            Z = parts.activations[number].view(K, N if plain else padded)
            to = arguments.plain(N) if plain else Layout(cut.width, cut.width, K * cut.width)
            for name, array, where in (("x", below, layout), ("z", Z, to)):
                record[f"{name}_tile"], record[f"{name}_stride"] = where.tile, where.stride
                record[f"{name}_step"], record[f"ahead_{name}"] = where.step, _ahead(array, where)
            record["Z"] = self._held(Z)
            if number + 1 < len(self.layers):
                self.layers[number + 1]["X"] = record["Z"]
            found.append(Z)
            below, layout = Z, to
        return found

    def _between(self, number: int, below: Any, above: Any) -> None:
        """Write the activation of layer `number` into its record and that of the layer above."""
        unit = self._of.units[number]
        if number not in self.curves:
            above["below_bias_partial"] = below["bias_partial"]
        if not isinstance(unit, NumbaUnit):
            return
        numbers = unit.constants(self._training)
        if self._training:
            row = unit.row_bytes(self._cut.width)
            step = self._of.layers[number].shape[0] * row
            bits = self._held(unit.room(step * self._cut.tiles))
            numbers |= {"bits": bits, "bits_row": row, "bits_step": step}
        for name, value in numbers.items():
            below[f"own_{name}"] = above[f"under_{name}"] = value

    def _gradients(self, N: int) -> None:
        """Set up two arrays that the layers use in turns for DX, which is DA of the layer below."""
        widest = max((layer.shape[1] for layer in self._of.layers[1:]), default=0)
        dtype = self.activations[0].dtype
        turns = [
            self._held(self._of.room(f"gradient {turn}", widest, N, dtype)) for turn in range(2)
        ]
        self.layers[-1]["DZ"] = self.layers[-1]["Z"]
        for number in range(len(self.layers) - 1, 0, -1):
            self.layers[number]["DX"] = self.layers[number - 1]["DZ"] = turns[number % 2]
            if number - 1 in self.curves:
                self.curves[number - 1]["DA"] = turns[number % 2]

    def _curve(self, number: int, kind: int) -> Array:
        unit: Any = self._of.units[number]
        layer, Z = self.layers[number][0], self.activations[number]
        record = self._record(
            CURVE, K=layer["K"], kind=kind, bounds=self._whole[int(layer["K"])], scale=1,
            A=layer["Z"], DA=layer["Z"], bias_partial=layer["bias_partial"],
            kept=self._held(self._of.room(f"kept {number}", *Z.shape)),
            tile=layer["z_tile"], stride=layer["z_stride"], step_stride=layer["z_step"],
        )  # fmt: skip
        if unit.dropout is not None and self._training:
            drop = unit.dropout
            fill(record, {"scale": drop.scale, "threshold": drop.threshold, "key": drop.key})
        if kind == smooth_activations.SRELU:
            values = unit.parameters()
            record["parameters"] = self._table([address(value) for value in values.values()])
            if self._training:
                K = int(layer["K"])
                sums = [self._partial(f"curve {number} {name}", K) for name in values]
                record["partial"] = self._table(sums)
        return record

    def _csr_input(self, X: CsrInputs, padded: int) -> Array:
        layer = self._of.layers[0]
        passes = layer.csr_passes()
        rule = optimizer_rules.table(self._of.optimizer, np.zeros(1), 1)
        record = self._record(
            CSR_INPUT, layer=address(self.layers[0]), D=layer.shape[1], groups=passes.touched.size,
            rule=self._held(rule), counts=address(passes.counts), touched=address(passes.touched),
            found=self._held(np.zeros(1, dtype=np.int64)),
            S=self._held(self._of.room("csr outputs", padded, layer.shape[0])),
            past=address(passes.past), most=len(passes.past), steps=address(passes.step_count),
            since=address(passes.since), at_once=int(layer.slot_dtype != np.float32),
        )  # fmt: skip
        if not isinstance(X, CsrBatch):
            for name in ("indptr", "indices", "data"):
                record[name] = self._held(getattr(X.X, name))
            if X.scale is not None:
                record["scale"] = self._held(X.scale)
        return record

    def _batch(self, X: Array | ScaledRows) -> Array:
        first = self.layers[0][0]
        data = X.X if isinstance(X, ScaledRows) else X
        record = self._record(
            BATCH, features=first["D"], X=first["X"], x_step=first["x_step"],
            row_stride=data.strides[0] // data.itemsize,
        )  # fmt: skip
        if isinstance(X, ScaledRows):
            for name, array in (("data", X.X), ("mean", X.mean), ("scale", X.scale)):
                record[name] = self._held(array)
        return record

    def _targets(self, goal: Goal) -> Array:
        last, first = self.layers[-1][0], self.layers[0][0]
        record = self._record(
            TARGETS, K=last["K"], Z=last["Z"], z_stride=last["z_stride"], z_step=last["z_step"],
            loss=self._of.loss,
        )  # fmt: skip
        if len(self.layers) - 1 not in self.curves:
            record["bias_partial"] = last["bias_partial"]
        if goal.values is None:
            fill(record, {
                "targets": first["X"], "row_stride": first["x_stride"], "sample_stride": 1,
                "tile_step": first["x_step"], "own_rows": 1 if first["x_step"] else 2,
            })  # fmt: skip
            return record
        if goal.by_row:
            record["targets"] = self._held(goal.values)
        record["own_rows"] = 0 if goal.by_row else 2
        if not goal.labels:
            columns = goal.values.shape[1]
            record["row_stride"] = 1 if goal.by_row else columns
            record["sample_stride"] = columns if goal.by_row else 1
        return record


def _ahead(A: Array, where: Layout) -> int:
    """The prefetch distance in connections; 0: none. It is NEAR if a tile fits into the L2 cache
    but not into the L1 cache, because other programs may have evicted part of it."""
    tile = A.shape[0] * where.tile * A.itemsize
    return ahead(A, where) or (NEAR if tile > FIRST_CACHE else 0)
