"""The program of a network for one number of samples: its kernels, their records, its phases.

By samples: a tile of them goes forward and back through the whole network in one piece of work, its
weights' gradients into a partial sum of its own; a second phase adds these up in order and updates.
Activations stay with the core that wrote them, and threads meet twice a step.

By blocks: a phase per layer and direction, its pieces the blocks of connections, which are updated
on the way back; for few samples of so many connections that these are the traffic.

By neurons: a phase per layer and direction, its pieces chunks of neurons, for networks whose
activations no cache holds, and for few samples of many connections.

Which of these, and the tiles, depend on the network and the batch alone: results are the same bit
for bit for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sparsebench.core.data.samples import ScaledRows
from sparsebench.core.nn.buffers import Buffer
from sparsebench.core.protocols import Optimizer, Unit
from sparsebench_plugins.backends.numba_csr import arguments
from sparsebench_plugins.backends.numba_csr.arguments import LARGEST, Layout
from sparsebench_plugins.backends.numba_csr.layer import NumbaCsrLayer, ahead
from sparsebench_plugins.backends.numba_csr.simd import WIDTH as LANES
from sparsebench_plugins.backends.numba_csr.step import (
    batch,
    block_operations,
    curves,
    known,
    losses,
    operations,
)
from sparsebench_plugins.backends.numba_csr.step.records import (
    BATCH,
    CURVE,
    LAYER,
    SEQUENCE,
    STEP,
    TARGETS,
    VECTOR,
    filled,
)
from sparsebench_plugins.backends.numba_csr.unit import NumbaUnit

Array = npt.NDArray[Any]
Item = tuple[int, Array, int, int]
"""A kernel's address, its record, and its two other arguments."""

Pass = tuple[int, Array, int]
"""A kernel's address, its record, and how many chunks of neurons it has."""

WIDTH = 64
"""Samples of a tile: eight vectors of eight, the registers of AVX2."""

SMALL = 32
"""Samples that are not worth two tiles."""

PIECES = 4
"""Partial gradients, at most: each costs 4 bytes a connection."""

TILE_BYTES = 16 * 2**20
"""Of a layer's tile, up to which a batch is split by samples."""

BY_NEURONS = 4_000_000
"""Multiply-adds of one pass from which on few samples are split by neurons."""

IN_CACHE = 200_000
"""Connections up to which few samples go through both orders of them; beyond, reading a second
order takes longer than the calls that it saves."""

FIRST_CACHE = 2**15
"""Bytes."""

NEAR = 12
"""Connections between what is prefetched from the second cache and what is at work. Half the
median time of forward where the machine is shared, nothing where it is not."""

STRETCH = 8192
"""Connections of one piece of an update."""

ALONE = 100_000
"""Multiply-adds that are not worth waking another thread."""

UPDATE_COST, COPY_COST = 10, 3
"""Multiply-adds that take as long as the update of a connection, and as its copy."""


@dataclass(frozen=True)
class Split:
    """How a batch is cut: `tiles` of `width` samples; `per_piece` of them share a gradient.

    way  "samples", "neurons" or "blocks", which the pieces of work are
    """

    way: Literal["samples", "neurons", "blocks"]
    width: int
    tiles: int
    per_piece: int

    @property
    def by_samples(self) -> bool:
        return self.way == "samples"

    @property
    def by_blocks(self) -> bool:
        return self.way == "blocks"

    @property
    def pieces(self) -> int:
        return -(-self.tiles // self.per_piece)


def split(
    N: int, widest: int, connections: int, itemsize: int, *, absorbs: bool, columns: bool,
    training: bool,
) -> Split:  # fmt: skip
    """How to cut N samples.

    widest   neurons or features of the widest array of activations
    absorbs  whether the optimizer takes a gradient in parts
    columns  whether the connections are in the order of large batches already
    """
    if N <= LARGEST and connections > IN_CACHE:
        return Split("neurons" if columns else "blocks", N, 1, 1)
    if N <= SMALL:
        width = -(-N // LANES) * LANES
    elif N < 2 * WIDTH:
        width = -(-N // 32) * 16
    else:
        width = WIDTH
    few = N <= SMALL and connections * N > BY_NEURONS
    if not few and widest * width * itemsize <= TILE_BYTES:
        tiles = -(-N // width)
        return Split("samples", width, tiles, -(-tiles // PIECES) if training else 1)
    layout = arguments.of(widest, N, itemsize) if absorbs else arguments.plain(N)
    tiles = N // layout.tile
    return Split("neurons", layout.tile, tiles, tiles)


@dataclass(frozen=True)
class Goal:
    """Targets: labels (n,), numbers (n, K), or, without values, the inputs themselves.

    by_row  whether rows are looked up; else values are those of the batch, (N,) or (K, N)
    """

    values: Array | None
    by_row: bool

    @property
    def labels(self) -> bool:
        return self.values is not None and self.values.ndim == 1


@dataclass
class Parts:
    """What a program is made of.

    loss         its number in `losses`
    activations  buffers for the outputs of each layer
    shared       by name: arrays that hold nothing from one step to the next, which all programs of
                 the network use
    """

    layers: Sequence[NumbaCsrLayer]
    units: Sequence[Unit]
    loss: int
    optimizer: Optimizer
    activations: Sequence[Buffer]
    shared: dict[str, Buffer] = field(default_factory=dict)

    def room(self, name: str, rows: int, N: int, dtype: Any = np.float32) -> Array:
        """(rows, N), as large as any program of the network wanted it."""
        found = self.shared.get(name)
        if found is None or found.rows < rows:
            found = self.shared[name] = Buffer(rows, dtype)
        return found.view(rows, N)

    @property
    def widest(self) -> int:
        """Neurons or features of the widest array of activations."""
        return max(max(layer.shape) for layer in self.layers)

    @property
    def connections(self) -> int:
        return sum(layer.nnz for layer in self.layers)

    def curve(self, number: int) -> int | None:
        """What `curves` calls the unit behind layer `number`; None if the layer's kernel has it."""
        return known.curve_number(self.units[number]) if number < len(self.units) else None


class Program:
    """A network's training step, or its outputs, for one number of samples, as tables of kernels.

    It holds the arrays that the tables point to.

    step    (1,) STEP     parts  (tiles,) the losses of the tiles
    items, phases         as in `driver`
    outputs (K, N) of the last layer
    """

    def __init__(
        self, parts: Parts, cut: Split, X: Array | ScaledRows, goal: Goal | None, N: int
    ) -> None:
        """X     (features, N) of the caller's, which `set_inputs` replaces, or rows of a data set
        goal  None: only outputs are wanted, which are then (K, N), without dropout
        """
        self._of, self._cut, self._training = parts, cut, goal is not None
        self._tiled = isinstance(X, ScaledRows) or (cut.by_samples and self._training)
        self._keep: list[Any] = []
        self._items: list[tuple[int, int, int, int]] = []
        self._phases: list[tuple[int, int, int]] = []
        self._curve_sums: dict[int, list[int]] = {}
        self.parts = np.zeros(cut.tiles)
        padded = -(-N // LANES) * LANES if self._tiled else N
        self.step = filled(
            STEP, N=N, padded=padded, width=cut.width, tiles=cut.tiles, per_piece=cut.per_piece,
            parts=self.parts.ctypes.data,
        )  # fmt: skip
        self._bounds = {size: self._table([0, size]) for size in self._sizes()}
        self._layers = [self._layer(number, N) for number in range(len(parts.layers))]
        self._curves = {
            number: self._curve(number, kind)
            for number in range(len(parts.layers))
            if (kind := parts.curve(number)) is not None
        }
        self._link(X, N)
        forward = self._forward(X)
        self.outputs = self._views[-1]
        if goal is None:
            self._run_passes(forward)
        else:
            self._targets = self._target_record(goal)
            self._run_passes(forward + self._backward(goal))
            self._update()
        self.items = np.array(self._items, dtype=np.int64).reshape(-1, 4)
        self.phases = np.array(self._phases, dtype=np.int64).reshape(-1, 3)

    def set_inputs(self, X: Array, T: Array | None) -> None:
        """Point to the caller's arrays of a batch."""
        if self._tiled:
            self._batch["data"] = X.ctypes.data
        else:
            self._layers[0]["X"] = X.ctypes.data
        if T is not None:
            self._targets["targets"] = T.ctypes.data
        elif self._training and not self._tiled:
            self._targets["targets"] = X.ctypes.data

    # --- records ----------------------------------------------------------------------

    def _sizes(self) -> set[int]:
        return {size for layer in self._of.layers for size in layer.shape}

    def _address(self, array: Array) -> int:
        self._keep.append(array)
        return int(array.ctypes.data)

    def _record(self, dtype: np.dtype[Any], **fields: Any) -> Array:
        record = filled(dtype, step=self.step.ctypes.data, **fields)
        self._keep.append(record)
        return record

    def _sums(self, name: str, size: int) -> int:
        """The address of partial sums (pieces, size)."""
        return self._address(self._of.room(name, size, self._cut.pieces))

    def _layer(self, number: int, N: int) -> Array:
        """The record of a layer, but for what it shares with its neighbours."""
        layer, cut = self._of.layers[number], self._cut
        K, D = layer.shape
        fields: dict[str, int] = {
            "K": K, "D": D, "nnz": layer.nnz, "backward": number > 0,
            "bias": self._address(layer.bias()),
        }  # fmt: skip
        if cut.by_blocks:
            blocks = layer.by_block()
            fields |= {
                "R": blocks.row_cuts.size - 1, "C": blocks.column_cuts.size - 1,
                "row_cuts": self._address(blocks.row_cuts),
                "column_cuts": self._address(blocks.column_cuts),
                "starts": self._address(blocks.starts), "rows": self._address(blocks.rows),
                "columns": self._address(blocks.columns), "w": self._address(layer.data),
            }  # fmt: skip
        else:
            bounds = self._bounds[K] if cut.by_samples else self._address(layer.row_chunks)
            fields |= {
                "indptr": self._address(layer.pattern.indptr),
                "indices": self._address(layer.pattern.indices),
                "data": self._address(layer.data), "row_bounds": bounds,
            }  # fmt: skip
        if self._training:
            if not cut.by_blocks:
                fields |= self._by_column(number)
            first, second = layer.two_slots()
            fields |= {"first": self._address(first), "second": self._address(second)}
            fields["bias_partial"] = self._sums(f"bias {number}", K)
        return self._record(LAYER, **fields)

    def _by_column(self, number: int) -> dict[str, int]:
        """What the backward pass of more than a few samples goes by."""
        layer, cut = self._of.layers[number], self._cut
        D = layer.shape[1]
        order = layer.by_column()
        stored = cut.by_samples or (cut.tiles > 1 and not layer.absorbs)
        columns = self._bounds[D] if cut.by_samples else self._address(order.chunks)
        return {
            "widest": order.widest, "t_indptr": self._address(order.indptr),
            "rows": self._address(order.rows), "place": self._address(order.place),
            "w": self._address(layer.weights_by_column()), "column_bounds": columns,
            "partial": self._sums(f"weights {number}", layer.nnz) if stored else 0,
        }  # fmt: skip

    def _link(self, X: Array | ScaledRows, N: int) -> None:
        """Give the layers their activations, and the units between them."""
        cut, parts = self._cut, self._of
        width, padded = cut.width, cut.width * cut.tiles
        self._views: list[Array] = []
        rows = self._of.layers[0].shape[1]
        if self._tiled:
            below = parts.room("inputs", rows, padded)
            layout = (width, width, rows * width)
        else:
            assert not isinstance(X, ScaledRows)
            below, layout = X, (N, N, 0)
        for number, (layer, record) in enumerate(zip(parts.layers, self._layers, strict=True)):
            plain = not self._training and number == len(parts.layers) - 1
            Z = parts.activations[number].view(layer.shape[0], N if plain else padded)
            self._views.append(Z)
            to = (N, N, 0) if plain else (width, width, layer.shape[0] * width)
            for name, array, (tile, stride, step) in (("X", below, layout), ("Z", Z, to)):
                record[name], record[f"{name.lower()}_tile"] = self._address(array), tile
                record[f"{name.lower()}_stride"], record[f"{name.lower()}_step"] = stride, step
            record["ahead_x"] = _ahead(below, Layout(*layout))
            record["ahead_z"] = _ahead(Z, Layout(*to))
            below, layout = Z, to
            unit = parts.units[number] if number < len(parts.units) else None
            own: dict[str, Any] = {}
            if isinstance(unit, NumbaUnit):
                own = unit.constants(self._training)
                if self._training:
                    row = arguments.bit_bytes(width)
                    bits = unit.room(layer.shape[0] * row * cut.tiles)
                    own |= {"bits": self._address(bits), "bits_row": row}
                    own["bits_step"] = layer.shape[0] * row
            above = self._layers[number + 1] if number + 1 < len(self._layers) else None
            for name, value in own.items():
                record[f"own_{name}"] = value
                if above is not None:
                    above[f"under_{name}"] = value
            if number in self._curves:
                curve = self._curves[number]
                curve["A"] = curve["DA"] = record["Z"]
                curve["bias_partial"] = record["bias_partial"]
                curve["kept"] = self._address(parts.room(f"kept {number}", *Z.shape))
                curve["tile"], curve["stride"], curve["step_stride"] = to
            elif above is not None:
                above["below_bias_partial"] = record["bias_partial"]
        if cut.by_blocks and self._training:
            self._gradients(N)

    def _gradients(self, N: int) -> None:
        """Two arrays that layers use in turn for the gradient that travels back."""
        widest = max((layer.shape[1] for layer in self._of.layers[1:]), default=0)
        dtype = self._views[0].dtype
        turns = [
            self._address(self._of.room(f"gradient {turn}", widest, N, dtype)) for turn in range(2)
        ]
        self._layers[-1]["DZ"] = self._layers[-1]["Z"]
        for number in range(len(self._layers) - 1, 0, -1):
            self._layers[number]["DX"] = self._layers[number - 1]["DZ"] = turns[number % 2]
            if number - 1 in self._curves:
                self._curves[number - 1]["DA"] = turns[number % 2]

    def _curve(self, number: int, kind: int) -> Array:
        unit: Any = self._of.units[number]
        K = self._of.layers[number].shape[0]
        record = self._record(CURVE, K=K, kind=kind, bounds=self._bounds[K], scale=1)
        if unit.dropout is not None and self._training:
            record["scale"], record["threshold"] = unit.dropout.scale, unit.dropout.threshold
            record["key"] = unit.dropout.key
        if kind == curves.SRELU:
            values = list(unit.parameters().values())
            record["parameters"] = self._table([self._address(value) for value in values])
            self._curve_sums[number] = [
                self._sums(f"curve {number} {i}", K) for i in range(len(values))
            ]
            record["partial"] = self._table(self._curve_sums[number])
        return record

    def _table(self, rows: Sequence[Any]) -> int:
        """The address of a table of int64."""
        return self._address(np.array(rows, dtype=np.int64))

    def _target_record(self, goal: Goal) -> Array:
        last = self._layers[-1][0]
        record = self._record(
            TARGETS, K=last["K"], Z=last["Z"], z_stride=last["z_stride"], z_step=last["z_step"],
            loss=self._of.loss,
        )  # fmt: skip
        if len(self._of.layers) - 1 not in self._curves:
            record["bias_partial"] = last["bias_partial"]
        if goal.values is None:
            first = self._layers[0][0]
            record["targets"], record["row_stride"] = first["X"], first["x_stride"]
            record["tile_step"], record["sample_stride"] = first["x_step"], 1
            record["own_rows"] = 1 if first["x_step"] else 2
            return record
        record["targets"] = self._address(goal.values)
        record["own_rows"] = 0 if goal.by_row else 2
        if not goal.labels:
            columns = goal.values.shape[1]
            record["row_stride"] = 1 if goal.by_row else columns
            record["sample_stride"] = columns if goal.by_row else 1
        return record

    # --- passes and phases ------------------------------------------------------------

    def _types(self, number: int) -> tuple[Any, ...]:
        """Types of a layer's indices, of its inputs and of its outputs."""
        below = self._views[number - 1].dtype.type if number else np.float32
        return (
            self._of.layers[number].pattern.indices.dtype.type,
            below,
            self._views[number].dtype.type,
        )

    def _chunks(self, number: int, backward: bool = False) -> int:
        """The pieces of one layer's pass."""
        layer, record = self._of.layers[number], self._layers[number][0]
        if self._cut.by_samples:
            return 1
        if self._cut.by_blocks:
            return int(record["C"] if backward and number > 0 else record["R"])
        return (layer.by_column().chunks if backward else layer.row_chunks).size - 1

    def _forward(self, X: Array | ScaledRows) -> list[Pass]:
        passes: list[Pass] = []
        if self._tiled:
            first = self._layers[0][0]
            self._batch = self._record(
                BATCH, features=first["D"], X=first["X"], x_step=first["x_step"]
            )
            data = X.X if isinstance(X, ScaledRows) else X
            self._batch["row_stride"] = data.strides[0] // data.itemsize
            if isinstance(X, ScaledRows):
                for name, array in (("data", X.X), ("mean", X.mean), ("scale", X.scale)):
                    self._batch[name] = self._address(array)
                kernel = batch.assemble(*_scalars(X.X, X.mean))
            else:
                kernel = batch.copy()
            passes.append((kernel, self._batch, 1))
        for number, record in enumerate(self._layers):
            index, x, z = self._types(number)
            forward = operations.forward(index, x, z)
            if self._cut.by_blocks:
                forward = block_operations.forward(x, z)
            passes.append((forward, record, self._chunks(number)))
            if number in self._curves:
                passes.append((curves.forward(), self._curves[number], 1))
        return passes

    def _backward(self, goal: Goal) -> list[Pass]:
        passes: list[Pass] = [(losses.gradient(goal.labels), self._targets, 1)]
        for number in range(len(self._layers) - 1, -1, -1):
            if number in self._curves:
                passes.append((curves.backward(), self._curves[number], 1))
            record, state = self._layers[number], self._of.layers[number].slot_type
            index, x, z = self._types(number)
            if self._cut.by_blocks:
                kernel = block_operations.backward(z, x, state)
            else:
                kernel = operations.backward(index, z, x, state, bool(record[0]["partial"]))
            passes.append((kernel, record, self._chunks(number, backward=True)))
        return passes

    def _run_passes(self, passes: Sequence[Pass]) -> None:
        """The phases of these passes."""
        cut = self._cut
        alone = self._of.connections * int(self.step[0]["N"]) < ALONE
        if cut.by_samples:
            items = [(kernel, record.ctypes.data, 0, 0) for kernel, record, _ in passes]
            whole = self._record(SEQUENCE, items=self._table(items), count=len(items))
            pieces = range(cut.pieces)
            self._phase([(operations.sequence(), whole, piece, 0) for piece in pieces], alone)
            return
        for kernel, record, chunks in passes:
            for tile in range(cut.tiles):
                self._phase([(kernel, record, tile, chunk) for chunk in range(chunks)], alone)

    def _update(self) -> None:
        """A phase that updates all that is trained, and one that brings the csr copies up to
        date."""
        items: list[Item] = []
        copies: list[Item] = []
        for number, (layer, record) in enumerate(zip(self._of.layers, self._layers, strict=True)):
            stretches = [
                (start, min(start + STRETCH, layer.nnz)) for start in range(0, layer.nnz, STRETCH)
            ]
            if record[0]["partial"]:
                kernel = operations.update_weights(layer.slot_type)
                items += [(kernel, record, *stretch) for stretch in stretches]
            bias = int(record[0]["bias_partial"])
            items.append(self._vector(layer.bias(), layer.bias_slots, bias))
            if not self._cut.by_blocks:
                kernel = operations.copy_weights(self._types(number)[0])
                copies += [(kernel, record, *stretch) for stretch in stretches]
        for number, sums in self._curve_sums.items():
            unit: Any = self._of.units[number]
            for (name, values), partial in zip(unit.parameters().items(), sums, strict=True):
                slots = unit.slots(name, self._of.optimizer)
                items.append(self._vector(values, slots, partial))
        self._phase(items, self._of.connections * UPDATE_COST < ALONE)
        if copies:
            self._phase(copies, self._of.connections * COPY_COST < ALONE)

    def _vector(self, values: Array, slots: Sequence[Array], partial: int) -> Item:
        none = np.empty(0, dtype=np.float32)
        first, second = (*slots, none, none)[:2]
        record = self._record(
            VECTOR, size=values.size, values=self._address(values), first=self._address(first),
            second=self._address(second), partial=partial,
        )  # fmt: skip
        return operations.update_vector(), record, 0, 0

    def _phase(self, items: Sequence[Item], alone: bool) -> None:
        self._phases.append((len(self._items), len(items), int(alone)))
        self._items += [(kernel, record.ctypes.data, a, b) for kernel, record, a, b in items]


def _ahead(A: Array, layout: Layout) -> int:
    """The prefetch distance; short where a tile fits the second cache but not the first, of which
    others on the machine may have taken a part."""
    tile = A.shape[0] * layout.tile * A.itemsize
    return ahead(A, layout) or (NEAR if tile > FIRST_CACHE else 0)


def _scalars(*arrays: Array) -> tuple[Any, ...]:
    """The types of their elements."""
    return tuple(array.dtype.type for array in arrays)
