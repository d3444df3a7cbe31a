"""Allocations that prune a full network before training, by scores of its connections.

Each ranks the connections of all layers together, so that layers with higher scores keep more of
them. The kept connections start with the weights that were scored.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import Needs
from sparsebench.registry import OfKind
from sparsebench_plugins.placements import Placed
from sparsebench_plugins.topologies.dynamic import Static

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sparsebench.core.arrays import Matrix
    from sparsebench.core.methods.initial import InitialNetwork
    from sparsebench.core.sparse.csr import CsrMatrix

Samples = Annotated[int, Interval(gt=0)]


@dataclass(frozen=True)
class Snip(Placed):
    """Keep the connections with the largest |w g|: by how much the loss would change without them.

    samples  number of training samples, used as one mini-batch

    Lee et al. (2019), arXiv 1810.02340, eq. 5. Every position is scored, in tiles of weights that
    are drawn and not stored: takes the time of a dense step, and memory O(nnz + neurons).
    """

    samples: Samples = 128

    def patterns(self, network: InitialNetwork) -> Iterable[CsrMatrix]:
        from sparsebench_plugins.full_network import best_of, layers_of

        layers = layers_of(network)
        network.network_of(layers).compute_gradients(*network.examples(self.samples), 1)
        return best_of(layers, sum(network.counts), lambda index, rows, W, G: abs(W * G))


@dataclass(frozen=True)
class Grasp(Placed):
    """Keep the connections with the largest w (H g), where g is the gradient of the loss and H its
    Hessian: their removal would lower the norm of the gradient least.

    samples      number of training samples, used as one mini-batch
    temperature  divisor of the outputs
    step         length of the step along g by which H g is measured, relative to the weights

    Wang et al. (2020), arXiv 2002.07376, eq. 8 and algorithm 2, which removes the largest -w (H g).
    H g is computed in two passes, as a finite difference: the gradient half a step ahead minus the
    gradient half a step behind, divided by the step. Deviations: the released code
    computes H g by differentiating twice, and takes g and H from two halves of 25 samples per
    class; here both use the same `samples`.
    """

    samples: Samples = 256
    temperature: Annotated[float, Interval(gt=0)] = 200.0
    step: Annotated[float, Interval(gt=0)] = 0.02

    def patterns(self, network: InitialNetwork) -> Iterable[CsrMatrix]:
        import numpy as np

        from sparsebench_plugins.full_network import best_of, layers_of

        layers = layers_of(network)
        layers[-1].scale = 1 / self.temperature
        whole, examples = network.network_of(layers), network.examples(self.samples)
        whole.compute_gradients(*examples, 1)
        sizes = np.zeros(2)
        for layer in layers:
            for _, W, G in layer.gradients_by_tile():
                sizes += float((W.astype(np.float64) ** 2).sum()), float((G**2).sum())
        step = self.step * float(np.sqrt(sizes[0] / max(sizes[1], 1e-30)))
        for layer in layers:
            layer.direction = layer.X, layer.DZ
        behind: list[tuple[Matrix, Matrix]] = []
        for sign in (-0.5, 0.5):
            for layer in layers:
                layer.step = sign * step
            whole.compute_gradients(*examples, 1)
            if sign < 0:
                behind = [(layer.X, layer.DZ) for layer in layers]

        def score(index: int, rows: slice, W: Matrix, ahead: Matrix) -> Any:
            X, DZ = behind[index]
            return W * (ahead - DZ[rows] @ X.T)

        return best_of(layers, sum(network.counts), score)


@dataclass(frozen=True)
class SynFlow(Placed):
    """Keep the connections with the largest flow, by pruning in rounds without data.

    rounds  number of rounds of pruning; each reduces the density by the same factor

    Tanaka et al. (2020), arXiv 2006.05467, algorithm 1. The score is |w| dR/d|w|, where R is the
    sum of the outputs of a network with weights |w| for an input of ones. The first round takes the
    time and memory of a full network. Deviation: scores are divided by R, so that deep networks do
    not overflow; this does not change their order.
    """

    rounds: Annotated[int, Interval(gt=0)] = 100

    def patterns(self, network: InitialNetwork) -> Iterable[CsrMatrix]:
        import numpy as np
        from scipy.sparse import csr_array

        from sparsebench.core.sparse.csr import CsrPattern
        from sparsebench_plugins.full_network import BestOfAll, full_weights, layers_of

        layers = layers_of(network)
        keys = [np.arange(K * D, dtype=np.int64) for K, D in network.shapes]
        sizes = [abs(full_weights(layer)).astype(np.float64) for layer in layers]
        whole, final = sum(one.size for one in keys), sum(network.counts)
        for number in range(1, self.rounds + 1):
            left = round(whole * (final / whole) ** (number / self.rounds))
            found = [
                CsrPattern.from_keys(shape, own)
                for shape, own in zip(network.shapes, keys, strict=True)
            ]
            matrices = [
                csr_array((size, one.indices, one.indptr), shape=one.shape)
                for size, one in zip(sizes, found, strict=True)
            ]
            scores = _flow(matrices)
            best = BestOfAll(len(layers), left)
            for index, score in enumerate(scores):
                best.add(index, 0, score)
            kept = best.positions()
            keys = [own[at] for own, at in zip(keys, kept, strict=True)]
            sizes = [size[at] for size, at in zip(sizes, kept, strict=True)]
        return [layer.chosen(own) for layer, own in zip(layers, keys, strict=True)]


def _flow(matrices: list[Any]) -> list[npt.NDArray[np.float64]]:
    """Each connection's share of the flow from an input of ones to the outputs."""
    import numpy as np

    into = [np.ones(matrices[0].shape[1])]
    for matrix in matrices:
        into.append(matrix @ into[-1])
        into[-1] /= into[-1].max() or 1.0
    out, scores = np.ones(matrices[-1].shape[0]), []
    for matrix, before in zip(matrices[::-1], into[-2::-1], strict=True):
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        flow = matrix.data * out[rows] * before[matrix.indices]
        scores.append(flow / (flow.sum() or 1.0))
        out = matrix.T @ out
        out /= out.max() or 1.0
    return scores[::-1]


class ScansOnce:
    """A method that takes the time of dense passes once, before training."""

    needs: ClassVar[Needs] = Needs(scans=True, dense_start=True)


@dataclass(frozen=True)
class SnipTopology(ScansOnce, Static):
    """The connections of SNIP, which do not change during training."""

    allocation: Annotated[Any, OfKind("allocation")] = "snip"


@dataclass(frozen=True)
class GraspTopology(ScansOnce, Static):
    """The connections of GraSP, which do not change during training."""

    allocation: Annotated[Any, OfKind("allocation")] = "grasp"


@dataclass(frozen=True)
class SynFlowTopology(ScansOnce, Static):
    """The connections of SynFlow, which do not change during training."""

    allocation: Annotated[Any, OfKind("allocation")] = "synflow"
