"""Growth between neurons with similar activations, by cosine similarity.

Atashgahi et al. (2022), A brain-inspired algorithm for training highly sparse neural networks,
Machine Learning, arXiv 1903.07138 (CTRE).

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench_plugins.topologies.dynamic import Dynamic, Grow, Zeta

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask, Matrix
    from sparsebench.core.methods.view import LayerView
    from sparsebench.core.sparse.csr import Ints


def most_alike(layer: LayerView, keep: Mask, count: int) -> tuple[Ints, Ints]:
    """The `count` free positions with the largest |cosine| between the activations of their ends;
    dropped connections count as free. Computed in tiles, in time O(K D N)."""
    import numpy as np

    from sparsebench.core.csr_batch import CsrBatch
    from sparsebench.core.sparse.gradients import largest_free_gradients

    A = layer.A
    if layer.index == layer.count - 1:  # against the softmax of the outputs, as released
        A = np.exp(A - A.max(axis=0))
        A /= A.sum(axis=0)
    X = layer.X.dense() if isinstance(layer.X, CsrBatch) else layer.X

    def directions(M: Matrix) -> Matrix:
        lengths = np.sqrt((M * M).sum(axis=1, keepdims=True))
        found: Matrix = np.divide(M, lengths, out=np.zeros_like(M), where=lengths > 0)
        return found

    closed = (layer.closed_rows, layer.closed_columns)
    rows, columns, _ = largest_free_gradients(
        directions(X), directions(A), layer.W.pattern, keep, count, *closed
    )
    return rows, columns


@dataclass(frozen=True)
class CosineGrow:
    """Grow between neurons with the largest |cosine| of their activations on one mini-batch. If
    such a position was just dropped, a random one is grown instead.

    Deviations: uses a mini-batch and not the whole training set; random positions are always free,
    while the released code may hit new or dropped connections and then grows fewer.
    """

    signals: ClassVar[tuple[Signal, ...]] = ("batch",)
    ranks: ClassVar[bool] = False
    scans: ClassVar[bool] = True

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        from sparsebench.core.sparse.positions import places
        from sparsebench_plugins.topologies.candidates import completed

        rows, columns = most_alike(layer, keep, count)
        fresh = places(layer.W.pattern, rows, columns) < 0
        return Candidates(*completed(layer, keep, (rows[fresh], columns[fresh]), count))


@dataclass(frozen=True)
class CosineThenRandom:
    """Grow between neurons with the largest |cosine| of their activations until the validation
    score has not improved for `patience` updates, and then at random.

    patience  number of updates; 40 epochs in the released code

    Deviations: those of `cosine`.
    """

    patience: Annotated[int, Interval(gt=0)] = 40

    signals: ClassVar[tuple[Signal, ...]] = ("batch", "validation")
    ranks: ClassVar[bool] = False
    scans: ClassVar[bool] = True

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        import numpy as np

        # the best score, and the updates since
        seen = layer.state.arrays.setdefault(("ctre", layer.index), np.array([-np.inf, 0.0]))
        if seen[1] < self.patience:
            improves = layer.validation.score > seen[0]
            seen[:] = (layer.validation.score, 0) if improves else (seen[0], seen[1] + 1)
        if seen[1] >= self.patience:
            return Candidates(*layer.random_positions(keep, count))
        return Candidates(*most_alike(layer, keep, count))


@dataclass(frozen=True)
class CtreSim(Dynamic):
    """Drop the smallest weights; grow between neurons with similar activations, and some at random.

    Deviations: those of the growth `cosine`; ties between weights are not broken by noise of 1e-5.
    """

    zeta: Zeta = 0.2
    grow: Grow = "cosine"


@dataclass(frozen=True)
class CtreSeq(Dynamic):
    """Drop the smallest weights; grow between neurons with similar activations, and later at
    random.

    Needs validation samples. Deviations: those of the growth `cosine-then-random`; ties between
    weights are not broken by noise.
    """

    zeta: Zeta = 0.2
    grow: Grow = "cosine-then-random"
