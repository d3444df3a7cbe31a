"""A layer that keeps its connections in the order, or the orders, that suit the size of the
batch."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.nn.csr_layer import CsrLayer
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern
from sparsebench_plugins.backends.numba_csr import arguments
from sparsebench_plugins.backends.numba_csr import optimizer_rules as rules
from sparsebench_plugins.backends.numba_csr.activation_unit import NumbaUnit
from sparsebench_plugins.backends.numba_csr.arguments import CACHE, KEEP, LARGEST, NO_UNIT, Layout
from sparsebench_plugins.backends.numba_csr.block_order import ByBlock
from sparsebench_plugins.backends.numba_csr.column_order import ByColumn, chunks
from sparsebench_plugins.backends.numba_csr.csr_passes import CsrPasses, Weights
from sparsebench_plugins.optimizers import SGD

LINE = 64
"""Bytes of a cache line."""

LINES_AHEAD = 160
"""Prefetch distance in cache lines of activations."""

EMPTY: Vector = np.empty(0, dtype=np.float32)
NO_BITS = np.empty(0, dtype=np.uint8)


class NumbaCsrLayer(CsrLayer):
    """Z = W X + b.

    A layer begins in csr order. With its first batch of up to 8 samples it changes to the order by
    blocks, in which `data` and `slots` are then kept; the columns of csr are recomputed when
    needed. From the first backward pass of a larger batch on it has two orders, csr and by column.
    The weights `w` and the slots are kept by column, so that backward and update read memory in
    order. `data` is then a copy in csr order, which the next forward pass updates first. Csr inputs
    need only the order by column, and updates of columns of `w` may be postponed: see `csr_passes`.

    version  changes whenever the layer replaces its arrays
    """

    takes_csr = True

    _shown: weakref.ref[CsrPattern]

    def __init__(
        self,
        W: CsrMatrix,
        bias: Vector,
        optimizer: Optimizer,
        kernels: Any,
        slot_dtype: npt.DTypeLike,
    ) -> None:
        self._kernels = kernels
        self.slot_dtype = np.dtype(slot_dtype)
        self.version = 0
        self._by_block: ByBlock | None = None
        self._by_column: ByColumn | None = None
        self._w = EMPTY
        self._stale = False
        self._csr: CsrPasses | None = None
        super().__init__(W, bias, optimizer)

    def _empty_slot(self) -> Vector:
        return np.zeros(self.data.size, dtype=self.slot_dtype)

    # --- the orders ------------------------------------------------------------------

    @property
    def pattern(self) -> CsrPattern:
        """The pattern of the connections. In the order by blocks, it is stored only while others
        reference it."""
        shown = self._shown()
        if shown is None:
            assert self._by_block is not None
            shown = self._by_block.pattern()
            self._shown = weakref.ref(shown)
        return shown

    @pattern.setter
    def pattern(self, pattern: CsrPattern) -> None:
        self._kept: CsrPattern | None = pattern
        self._shown = weakref.ref(pattern)

    @property
    def nnz(self) -> int:
        return int(self.data.size)

    def index(self, pattern: CsrPattern) -> None:
        self.version += 1
        self.row_chunks = chunks(pattern.indptr)

    def by_block(self) -> ByBlock:
        """The order by blocks. If the layer is not in it, `data` and the slots are moved to it from
        csr, one array after the other."""
        if self._by_block is None:
            self.by_row()
            order = ByBlock(self.pattern)
            self._kept = None
            self.data = order.arranged(self.data)
            for i in range(len(self.slots)):
                self.slots[i] = order.arranged(self.slots[i])
            self._gradient = None
            self._by_block = order
            self.version += 1
        return self._by_block

    def by_column(self) -> ByColumn:
        """The order by column. If the layer does not have it, it is made, and the weights `w` and
        the slots are arranged by it."""
        if self._by_column is None:
            self.by_row()
            order = ByColumn(self.pattern)
            for i in range(len(self.slots)):
                self.slots[i] = order.arranged(self.slots[i])
            self._w = order.arranged(self.data)
            self._gradient = None
            self._by_column = order
            self.version += 1
        return self._by_column

    def weights_by_column(self) -> Vector:
        """The weights by column. A caller that changes them has to change `data` too."""
        self.by_column()
        self.refresh()
        return self._w

    def by_row(self) -> None:
        """Return to csr order only, without the order by blocks or by column."""
        order = self._by_block or self._by_column
        if order is None:
            return
        if self._by_block is not None:
            self.pattern = self.pattern
            self.data = order.put_back(self.data)
        self.refresh()
        self._w = EMPTY
        for i in range(len(self.slots)):
            self.slots[i] = order.put_back(self.slots[i])
        self._gradient = None
        self._by_block = self._by_column = None
        self.version += 1

    def refresh(self) -> None:
        """Make the postponed updates, and bring `data` up to date with the weights by column."""
        self._settle()
        if self._stale and self._by_column is not None:
            self._by_column.fill_by_row(self._w, self.data)
        self._stale = False

    def _settle(self) -> None:
        """Make the postponed updates of connections whose inputs were not in csr batches."""
        if self._csr is not None:
            self._csr.settle(self.columns())

    def columns(self) -> Weights:
        """The connections by column, as the passes over csr inputs use them: of some columns,
        updates may be postponed."""
        return Weights(self.by_column(), self._w, *self.two_slots())

    def after_compiled_csr_steps(self, rule: arguments.Rule) -> None:
        """Compiled steps on csr inputs, the last one by this rule, have changed the weights by
        column."""
        self.csr_passes().after_compiled_step(rule)
        self._stale = True

    def weights(self) -> CsrMatrix:
        self.refresh()
        if self._by_block is not None:
            return CsrMatrix(self.pattern, self._by_block.put_back(self.data))
        return super().weights()

    @property
    def in_columns(self) -> bool:
        """Whether the layer has the order by column, for large batches."""
        return self._by_column is not None

    @property
    def in_blocks(self) -> bool:
        """Whether `data` is in the order by blocks, for small batches."""
        return self._by_block is not None

    def _in_csr_order(self, array: Vector) -> Vector:
        self._settle()
        order = self._by_block or self._by_column
        return array if order is None else order.put_back(array)

    # --- the passes ------------------------------------------------------------------

    def forward(self, X: Batch, Z: Matrix) -> None:
        self.forward_through(X, None, Z, None, None)

    def backward(self, X: Batch, DZ: Matrix, DX: Matrix | None) -> None:
        self.backward_through(X, None, DZ, None, DX, None, 0)

    def backward_and_step(
        self, X: Batch, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        self.backward_through(X, None, DZ, None, DX, rate, t)

    def forward_through(
        self,
        X: Batch,
        below: NumbaUnit | None,
        A: Matrix,
        unit: NumbaUnit | None,
        t: int | None,
    ) -> None:
        """A = unit(W X + b) in one pass.

        below  the unit whose output X is; None: X comes from outside the network
        unit   None: A = W X + b
        t      training step; None: evaluation
        """
        K, N = A.shape
        numbers = unit.at_step(t, K, N) if unit is not None else NO_UNIT
        bits = unit.bits if unit is not None else NO_BITS
        a = arguments.plain(N)
        if unit is not None:
            if self.absorbs:
                a = arguments.of(K, N, A.itemsize)
            unit.layout = a
        if isinstance(X, CsrBatch):
            own = self.columns()
            S = SCRATCH.of(self, K * N)
            self.csr_passes().forward(X, own, self._bias, S, A.reshape(-1), a, numbers, bits)
            return
        x, flat = self._layout(X, below), (X.reshape(-1), A.reshape(-1))
        if N > LARGEST and t is not None and self._by_block is not None:
            self.by_row()  # the backward pass that follows goes by column
        if self._by_block is not None or (N <= LARGEST and self._by_column is None):
            order = self.by_block()
            self._kernels.small_batch_forward(
                *order.blocks, self.data, self._bias, flat[0], x, flat[1], a, N, numbers, bits
            )
            return
        self.refresh()  # apart from the products: read as soon as written, the weights stall them
        self._kernels.forward(
            self.row_chunks, self.pattern.indptr, self.pattern.indices, self.data,
            self._bias, flat[0], x, flat[1], a, N, numbers, bits, ahead(X, x),
        )  # fmt: skip

    def backward_through(
        self,
        X: Batch,
        below: NumbaUnit | None,
        DZ: Matrix,
        unit: NumbaUnit | None,
        DX: Matrix | None,
        rate: float | None,
        t: int,
    ) -> None:
        """Compute the gradients of W and b and, if there is a DX, W^T DZ, which the unit `below`
        turns into DZ of the layer below. With a rate, W and b are updated too.

        below  the unit whose output X is; None: DX stays as it is
        unit   the unit after this layer, through which DZ came
        """
        N = X.shape[1]
        fused = rate is not None and rules.known(self.optimizer)
        rule = rules.of(self.optimizer, rate, t) if fused and rate is not None else rules.KEPT
        numbers, bits = (below.numbers, below.bits) if below is not None else (NO_UNIT, NO_BITS)
        if isinstance(X, CsrBatch):
            self._backward_csr(X, DZ, unit, rule)
        elif N <= LARGEST and self._by_column is None:
            self._backward_small(X, DZ, DX, rule, numbers, bits)
        else:
            self._backward_large(X, below, DZ, unit, DX, rule, numbers, bits)
        self._kernels.sum_rows(DZ.reshape(-1), self._layout(DZ, unit), N, self.bias_gradient)
        if rate is not None:
            if fused:
                self.step_bias(rate, t)
            else:
                self.step(rate, t)

    def csr_passes(self) -> CsrPasses:
        if self._csr is None:
            self._csr = CsrPasses(self._kernels, self.shape[1])
        return self._csr

    def _backward_csr(
        self, X: CsrBatch, DZ: Matrix, unit: NumbaUnit | None, rule: arguments.Rule
    ) -> None:
        G = EMPTY
        if rule.kind == KEEP:
            G = self.gradient
            G.fill(0)
        self.csr_passes().backward(
            X, self.columns(), SCRATCH.of(self, DZ.size), DZ.reshape(-1),
            self._layout(DZ, unit), G, rule, lazy=self.slot_dtype == np.float32,
        )  # fmt: skip
        self._stale = self._stale or rule.kind != KEEP

    def _backward_small(self, X, DZ, DX, rule, numbers, bits) -> None:  # type: ignore[no-untyped-def]
        N = X.shape[1]
        order = self.by_block()
        flat_DX = DX.reshape(-1) if DX is not None else X.reshape(-1)[:0]
        self._kernels.small_batch_backward(
            *order.blocks, self.data, *self.two_slots(), X.reshape(-1), DZ.reshape(-1), flat_DX,
            N, self.gradient if rule.kind == KEEP else EMPTY, rule, numbers, bits,
        )  # fmt: skip

    def _backward_large(self, X, below, DZ, unit, DX, rule, numbers, bits) -> None:  # type: ignore[no-untyped-def]
        order = self.by_column()
        self._settle()
        N = X.shape[1]
        x, z = self._layout(X, below), self._layout(DZ, unit)
        d = x if DX is not None and below is not None else arguments.plain(N)
        tiles = min(x.tile, z.tile) < N
        stored = rule.kind == KEEP or (tiles and not self.absorbs)
        self._kernels.backward(
            order.chunks, order.indptr, order.rows, self._w, *self.two_slots(),
            X.reshape(-1), x, DZ.reshape(-1), z,
            DX.reshape(-1) if DX is not None else X.reshape(-1)[:0], d, N,
            self.gradient if stored else EMPTY, order.widest, rule, numbers, bits,
            ahead(DZ, z),
        )  # fmt: skip
        self._stale = self._stale or rule.kind != KEEP

    @property
    def slot_type(self) -> Any:
        """The numpy scalar type of the optimizer's state."""
        return self.slot_dtype.type

    def two_slots(self) -> tuple[Vector, Vector]:
        none = np.empty(0, dtype=self.slot_dtype)
        first, second = (*self.slots, none, none)[:2]
        return first, second

    @property
    def absorbs(self) -> bool:
        """Whether each part of a gradient can be added to the optimizer's state at once, which is
        so for SGD with momentum but not Nesterov's. If not, tiles need an array for the gradient.
        """
        rule = self.optimizer
        return type(rule) is SGD and rule.momentum != 0 and not rule.nesterov

    @staticmethod
    def _layout(A: Matrix, unit: NumbaUnit | None) -> Layout:
        """The layout of an array after a unit; an array from outside the network is plain."""
        return arguments.plain(A.shape[1]) if unit is None else unit.layout

    # --- the state -------------------------------------------------------------------

    def gradients(self) -> tuple[Vector, Vector]:
        return self._in_csr_order(self.gradient), self.bias_gradient

    def step(self, rate: float, t: int) -> None:
        self._settle()
        w = self.data if self._by_column is None else self._w
        state = [arguments.widened(slot) for slot in self.slots]
        self.optimizer.update(w, self.gradient, state, rate, t, "weight")
        for slot, new in zip(self.slots, state, strict=True):
            if slot is not new:
                slot[...] = arguments.rounded(new)
        self._stale = self._by_column is not None
        self.step_bias(rate, t)

    def step_by(self, DW: Vector, Db: Vector, rate: float, t: int) -> None:
        order = self._by_block or self._by_column
        super().step_by(DW if order is None else order.arranged(DW), Db, rate, t)

    def assign(self, data: Vector, bias: Vector) -> None:
        self._settle()
        super().assign(data if self._by_block is None else self._by_block.arranged(data), bias)
        self._stale = False
        if self._by_column is not None:
            self._w[...] = self._by_column.arranged(self.data)

    def state(self) -> dict[str, Vector]:
        names = self.optimizer.slots
        return {
            name: arguments.widened(self._in_csr_order(slot))
            for name, slot in zip(names, self.slots, strict=True)
        }

    def scale_state(self, factor: float) -> None:
        for slot in self.slots:
            new = arguments.widened(slot) * np.float32(factor)
            slot[...] = new if slot.dtype == np.float32 else arguments.rounded(new)

    def saved(self) -> Iterator[tuple[str, Array]]:
        """As `Layer.saved`: the state in csr order and in its stored type, and in which order the
        layer keeps its connections, because the order of sums depends on that."""
        yield "two_orders", np.array(self._by_column is not None)
        yield "by_block", np.array(self._by_block is not None)
        for name, slot in zip(self.optimizer.slots, self.slots, strict=True):
            yield f"state.{name}", self._in_csr_order(slot)
        for name, slot in zip(self.optimizer.slots, self.bias_slots, strict=True):
            yield f"bias_state.{name}", slot

    def restore(self, saved: Mapping[str, Array]) -> None:
        self.by_row()
        super().restore(saved)
        self.version += 1
        if saved["two_orders"]:
            self.by_column()
        elif saved.get("by_block", False):
            self.by_block()

    def apply_change(self, change: Change) -> None:
        """As `Layer.apply_change`. The layer first returns to csr order, so that the peak memory is
        not higher than in training."""
        by_block, by_column = self._by_block is not None, self._by_column is not None
        self.by_row()
        applied = AppliedChange(self.pattern, change)
        self._gradient = None
        self.data = applied.carry(self.data, change.values)
        for i in range(len(self.slots)):
            self.slots[i] = applied.carry(self.slots[i])
        self.pattern = applied.pattern
        self.index(applied.pattern)
        if by_column:
            self.by_column()
        elif by_block:
            self.by_block()

    def stored_bytes(self) -> dict[str, int]:
        stored = super().stored_bytes()
        stored["weights"] += int(self._w.nbytes)
        stored["scratch"] = SCRATCH.counted_by(self)
        if self._csr is not None:
            stored["scratch"] += self._csr.nbytes
        return stored

    def pattern_bytes(self) -> int:
        order = self._by_block
        return super().pattern_bytes() if order is None else int(order.indptr.nbytes)

    def index_bytes(self) -> int:
        order = self._by_block or self._by_column
        return int(self.row_chunks.nbytes) + (order.nbytes if order is not None else 0)


class Scratch:
    """Scratch memory that all layers of a process share, as large as the largest layer needs."""

    def __init__(self) -> None:
        self._flat = EMPTY
        self._owner: weakref.ref[NumbaCsrLayer] | None = None

    def of(self, layer: NumbaCsrLayer, size: int) -> Vector:
        if self._flat.size < size:
            self._flat = np.empty(size, dtype=np.float32)
            self._owner = weakref.ref(layer)
        return self._flat[:size]

    def counted_by(self, layer: NumbaCsrLayer) -> int:
        """The bytes of this memory if it last grew for this layer, else 0."""
        mine = self._owner is not None and self._owner() is layer
        return int(self._flat.nbytes) if mine else 0


SCRATCH = Scratch()


def ahead(A: Matrix, where: Layout) -> int:
    """The prefetch distance in connections for activations A in the layout `where`; 0 if one tile
    of samples fits into the L2 cache."""
    row = where.tile * A.itemsize
    return 0 if A.shape[0] * row <= CACHE else LINES_AHEAD // -(-row // LINE)
