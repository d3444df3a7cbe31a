"""The passes of a first layer over csr inputs, and the postponed updates of its columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsebench.core.arrays import Vector
from sparsebench.core.csr_batch import CsrBatch
from sparsebench_plugins.backends.numba_csr.arguments import KEEP, SGD, Layout, Rule, UnitNumbers
from sparsebench_plugins.backends.numba_csr.column_order import ByColumn

MOST_STEPS = 64
"""The most steps that a column's updates may be postponed. A pass over all connections after so
many steps costs little, and the rules of these steps stay in the L1 cache."""


class Weights(NamedTuple):
    """A layer's connections by column, its weights and the two slots of its optimizer."""

    order: ByColumn
    w: Vector
    first: Any
    second: Any


class CsrPasses:
    """Forward and backward over a `CsrBatch`.

    Connections whose input is in no sample of a batch have gradient 0. Their updates by momentum
    and decay are postponed until a batch has their input again, or until `settle`.

    past  (MOST_STEPS, 3)  rate, shrink and unbias of the steps since all columns were up to date
    steps                  the number of these steps
    since (D,)             the number of these steps that each column has had
    ready                  the value of `steps` for which the last batch's columns are up to date
    features, starts, samples, values, count  the last batch, by feature
    counts, touched        zeros, for sorting

    A compiled step works on the same arrays; `steps` is in `step_count` (1,), where it finds it.
    """

    def __init__(self, kernels: Any, D: int) -> None:
        self._kernels = kernels
        self.counts = np.zeros(D, dtype=np.int32)
        self.touched = np.zeros(D // 64 + 1, dtype=np.uint8)
        self.since = np.zeros(D, dtype=np.int32)
        self.past = np.empty((MOST_STEPS, 3), dtype=np.float32)
        self.step_count = np.zeros(1, dtype=np.int64)
        self._rule: Rule | None = None
        self._batch: CsrBatch | None = None
        self.ready = self.count = 0
        self._make_room(0)

    @property
    def steps(self) -> int:
        return int(self.step_count[0])

    def make_room(self, stored: int) -> None:
        """Make the arrays of a sorted batch large enough for `stored` values. The batch in them
        may then be overwritten, so it is no longer the last one."""
        self._batch = None
        if stored > self.values.size:
            self._make_room(stored)

    def after_compiled_step(self, rule: Rule) -> None:
        """Note that the steps that a compiled step postponed are of this rule."""
        self._rule = rule

    def sort(self, X: CsrBatch) -> None:
        """Sort the batch by feature, unless it is sorted already."""
        if X is self._batch:
            return
        self.make_room(X.data.size)
        self.count = self._kernels.by_feature(
            X.indptr, X.indices, X.data, self.counts, self.touched,
            self.features, self.starts, self.samples, self.values,
        )  # fmt: skip
        self._batch, self.ready = X, 0

    def _make_room(self, stored: int) -> None:
        features = min(stored, self.since.size)
        self.features = np.empty(features, dtype=np.int32)
        self.starts = np.empty(features + 1, dtype=np.int32)
        self.samples = np.empty(stored, dtype=np.int32)
        self.values = np.empty(stored, dtype=np.float32)

    def forward(
        self, X: CsrBatch, own: Weights, bias: Vector, S: Vector, A: Any, a: Layout,
        unit: UnitNumbers, bits: Any,
    ) -> None:  # fmt: skip
        """A = unit(W X + b), after the columns of the batch are brought up to date."""
        self.prepare(X, own)
        self._kernels.csr_forward(
            self.features, self.starts, self.count, self.samples, self.values,
            own.order.indptr, own.order.rows, own.w, bias, S, A, a, X.shape[1], unit, bits,
        )  # fmt: skip

    def prepare(self, X: CsrBatch, own: Weights) -> None:
        """Sort the batch, and bring its columns up to date."""
        self.sort(X)
        if self.ready != self.steps:
            self._kernels.catch_up_present(
                self.features, self.starts, self.count, own.order.indptr,
                own.w, own.first, own.second, self._rule, self.past, self.steps, self.since,
            )  # fmt: skip
            self.ready = self.steps

    def backward(
        self, X: CsrBatch, own: Weights, S: Vector, DZ: Any, z: Layout, G: Vector, rule: Rule,
        lazy: bool,
    ) -> None:  # fmt: skip
        """If the rule is to keep gradients, write DW into G, which holds zeros. Otherwise make one
        step of the optimizer. The columns of this batch's features are updated now; all others
        later, or also now if `lazy` is False."""
        order, (K, N) = own.order, (S.size // X.shape[1], X.shape[1])
        self.prepare(X, own)
        if rule.kind != KEEP and moves_all(rule):
            self._note(rule)
        self._kernels.csr_backward(
            self.features, self.starts, self.count, self.samples, self.values,
            order.indptr, order.rows, own.w, own.first, own.second, order.widest,
            DZ, z, N, K, S, G, rule, self.steps, self.since,
        )  # fmt: skip
        if self.steps == MOST_STEPS or not lazy:
            self.settle(own)

    def _note(self, rule: Rule) -> None:
        self.past[self.steps] = rule.rate, rule.shrink, rule.unbias
        self.step_count[0] += 1
        self._rule = rule

    def settle(self, own: Weights) -> None:
        """Make the postponed updates of all columns."""
        if self.steps:
            self._kernels.catch_up_all(
                own.order.chunks, own.order.indptr, own.w, own.first, own.second,
                self._rule, self.past, self.steps, self.since,
            )  # fmt: skip
            self.step_count[0] = 0

    @property
    def nbytes(self) -> int:
        arrays = (
            self.counts, self.touched, self.since, self.past,
            self.features, self.starts, self.samples, self.values,
        )  # fmt: skip
        return sum(int(array.nbytes) for array in arrays)


def moves_all(rule: Rule) -> bool:
    """Whether the rule may change a connection whose gradient is 0."""
    still = rule.kind == SGD and rule.momentum == 0 and rule.coupled == 0 and rule.shrink == 1
    return not still
