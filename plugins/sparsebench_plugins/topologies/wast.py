"""Feature selection that keeps and grows the connections of important neurons.

Sokar et al. (2022), Where to pay attention in sparse training for feature selection (WAST), arXiv
2211.14627.

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench_plugins.topologies.dynamic import Drop, Dynamic, Grow, Initializer, Steps, Zeta

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sparsebench.core.arrays import Array, Mask, Matrix, Vector
    from sparsebench.core.csr_batch import Batch
    from sparsebench.core.methods.view import LayerView
    from sparsebench.core.sparse.csr import Ints

INPUTS, OUTPUTS = "importance of inputs", "importance of outputs"


def importances(layer: LayerView) -> tuple[Array, Array]:
    """(K,) and (D,) the importances of a layer's outputs and inputs: the sums so far for the
    network's own inputs and outputs, 1 for hidden neurons."""
    import numpy as np

    arrays, (K, D) = layer.state.arrays, layer.W.shape
    outputs = arrays.get((OUTPUTS, layer.index), np.ones(K, dtype=np.float32))
    return outputs, arrays.get((INPUTS, layer.index), np.ones(D, dtype=np.float32))


@dataclass(frozen=True)
class ImportanceDrop:
    """Drop the smallest product of |w| and the importances of both neurons, which the grow
    criterion `neuron-importance` accumulates."""

    signals: ClassVar[tuple[Signal, ...]] = ()
    by_sign: ClassVar[bool] = False

    def scores(self, layer: LayerView) -> Vector:
        outputs, inputs = importances(layer)
        scores: Vector = abs(layer.W.data) * outputs[layer.W.rows] * inputs[layer.W.indices]
        return scores


@dataclass(frozen=True)
class ImportanceGrow:
    """Grow at the free positions with the largest products of the importances of both neurons.

    share  lambda: weight of the error in the importance; the weights count with 1 - lambda

    In each step, lambda mean |error| + (1 - lambda) sum |w| is added to the importance of each
    input and output of the network; that of a hidden neuron is 1. Errors are the gradients of the
    mean loss times the number of samples. The best positions are found by the ranks of both
    neurons, in O(nnz log nnz).
    """

    share: Annotated[float, Interval(ge=0, le=1)] = 0.4

    signals: ClassVar[tuple[Signal, ...]] = ()
    ranks: ClassVar[bool] = True
    scans: ClassVar[bool] = False

    def after_backward(self, layer: LayerView, X: Batch, DZ: Matrix) -> None:
        import numpy as np

        from sparsebench.core.sparse.gradients import spmm_t

        W, arrays = layer.W, layer.state.arrays
        size = np.abs(W.data)
        ends: list[tuple[str, Ints, Matrix]] = []
        if layer.index == 0:
            ends.append((INPUTS, W.indices, spmm_t(W, DZ)))
        if layer.index == layer.count - 1:
            ends.append((OUTPUTS, W.rows, DZ))
        for name, own, errors in ends:
            count = len(errors)
            weights = np.bincount(own, weights=size, minlength=count)
            error = np.abs(errors).sum(axis=1)
            gain = self.share * error + (1 - self.share) * weights
            sums = arrays.setdefault((name, layer.index), np.zeros(count, dtype=np.float32))
            sums += gain.astype(np.float32)

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        import numpy as np

        from sparsebench_plugins.topologies.candidates import filled_up

        outputs, inputs = importances(layer)
        rows, columns = by_rank(outputs, inputs, count + int(keep.sum()), layer.rng("candidates"))
        rows, columns = (ends.astype(layer.W.indices.dtype) for ends in (rows, columns))
        free = layer.are_open(keep, rows, columns)
        rows, columns = rows[free], columns[free]
        order = np.lexsort((columns, rows))
        rows, columns = rows[order], columns[order]
        scores = (outputs[rows] * inputs[columns]).astype(np.float32)
        return filled_up(layer, keep, (rows, columns, scores), count)


def by_rank(
    outputs: npt.NDArray[np.float32],
    inputs: npt.NDArray[np.float32],
    count: int,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Positions that include the `count` largest products of the importances of both ends.

    If the ends have ranks a and b, a b - 1 other positions have larger products, so only positions
    with a b <= count are needed. Equal importances are ranked at random.
    """
    import numpy as np

    a, b = (np.lexsort((rng.permutation(ends.size), -ends)) for ends in (outputs, inputs))
    widths = np.minimum(b.size, count // np.arange(1, a.size + 1))
    starts = np.cumsum(widths) - widths
    ranks = np.arange(int(widths.sum())) - np.repeat(starts, widths)
    return np.repeat(a, widths), b[ranks]


@dataclass(frozen=True)
class Wast(Dynamic):
    """Every second step, drop by the importance of weights and neurons, and grow between important
    neurons.

    The paper selects the important inputs of an autoencoder; the method works for any network.
    Deviations: the error of an input is its gradient, in the paper the error of its reconstruction;
    updates are at every second step, in the paper at every step.
    """

    zeta: Zeta = 0.3
    grown: Initializer = "zeros"
    drop: Drop = "neuron-importance"
    grow: Grow = "neuron-importance"
    update_every: Steps | None = 2
