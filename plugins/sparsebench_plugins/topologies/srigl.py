"""RigL with a constant fan-in, and with neurons that are removed.

Lasby et al. (2023), Dynamic sparse training with structured sparsity, arXiv 2305.02299.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from sparsebench.core.methods.protocols import LayerUpdate
from sparsebench.registry import OfKind, OmittedIfDefault
from sparsebench_plugins.topologies.dynamic import Dynamic, Grow, Initializer, Steps, Until, Update

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask
    from sparsebench.core.methods.view import LayerView, NetworkView
    from sparsebench.core.sparse.csr import Change, Ints


@dataclass(frozen=True)
class SRigL(Dynamic):
    """RigL in which all living neurons of a layer have the same fan-in; some have one more.

    least_salient  gamma: a hidden neuron is removed if it has fewer salient connections than this
                   share of the fan-in

    Salient connections are the largest weights, without the fraction that is dropped, and the same
    number of positions with the largest gradients as are dropped. Each neuron keeps its largest
    salient weights up to the fan-in, and grows where its gradient is largest. The output layer
    loses no neuron. Deviations: a neuron with too many connections loses its smallest weights,
    while the released code sorts a mask of ones and may drop any; the number of connections is
    constant, so some neurons have one more.
    """

    allocation: Annotated[Any, OfKind("allocation")] = "constant-fan-in"
    grown: Initializer = "zeros"
    update_every: Steps | None = 100
    update_until: Until | None = 0.75
    grow: Grow = "gradient"
    update: Update = "cosine"
    least_salient: Annotated[float, Interval(ge=0, le=1), OmittedIfDefault()] = 0.3

    def layer_updates(self, network: NetworkView) -> Iterator[LayerUpdate]:
        part, fraction = self.takes_part(network.count), self.schedule().fraction(network.step)
        for index in range(network.count):
            yield self._update(network.layer(index), fraction) if index in part else LayerUpdate()

    def _update(self, layer: LayerView, fraction: float) -> LayerUpdate:
        import numpy as np

        from sparsebench.core.sparse.selection import all_but_smallest

        W, (K, D) = layer.W, layer.W.shape
        size = np.abs(W.data)
        count = int(fraction * W.nnz)
        strong = all_but_smallest(size, count)
        grown_rows, _, _ = layer.largest_gradients(strong, count)
        salient = np.bincount(W.rows[strong], minlength=K) + np.bincount(grown_rows, minlength=K)
        alive = np.ones(K, dtype=bool)
        if layer.index < layer.count - 1:
            alive = self._alive(salient, W.pattern.in_degrees() > 0, W.nnz, D)
        numbers = np.flatnonzero(alive)
        wanted = np.zeros(K, dtype=np.int64)
        wanted[numbers] = W.nnz // numbers.size
        wanted[numbers[: W.nnz % numbers.size]] += 1
        keep = _largest_of_each_row(W.rows, size, strong, wanted)
        missing = wanted - np.bincount(W.rows[keep], minlength=K)
        return LayerUpdate(_grown(layer, keep, missing, self.grown))

    def _alive(self, salient: Ints, alive: Mask, nnz: int, D: int) -> Mask:
        """(K,) mask of the neurons with enough salient connections; further neurons are kept if all
        connections would not fit otherwise."""
        import numpy as np

        fan_in = nnz / max(1, int(alive.sum()))
        enough = alive & (salient >= max(1.0, self.least_salient * fan_in))
        least = -(-nnz // D)
        if enough.sum() < least:
            order = np.lexsort((-salient, ~alive))
            enough = np.zeros_like(alive)
            enough[order[:least]] = True
        return np.asarray(enough)


def _largest_of_each_row(rows: Ints, size: Any, among: Mask, wanted: Ints) -> Mask:
    """A mask of the `wanted` largest connections of each row among those in `among`."""
    import numpy as np

    at = np.flatnonzero(among)
    order = at[np.lexsort((-size[at], rows[at]))]
    sorted_rows = rows[order]
    place = np.arange(order.size) - np.searchsorted(sorted_rows, sorted_rows)
    keep = np.zeros(rows.size, dtype=bool)
    keep[order[place < wanted[sorted_rows]]] = True
    return keep


def _grown(layer: LayerView, keep: Mask, missing: Ints, initial: Any) -> Change:
    """A change that grows the `missing` free positions with the largest gradients in each row. The
    dense gradient is computed one row at a time."""
    import numpy as np

    from sparsebench.core.sparse.csr import Change
    from sparsebench.core.sparse.positions import best

    W = layer.W
    everything = np.arange(W.shape[1])
    rows, columns = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for row in np.flatnonzero(missing):
        gradient = np.abs(layer.X @ layer.DZ[row])
        own = slice(W.indptr[row], W.indptr[row + 1])
        gradient[W.indices[own][keep[own]]] = -1
        if layer.closed_columns is not None:
            gradient[layer.closed_columns] = -1
        if layer.closed_rows is not None and layer.closed_rows[row]:
            continue
        _, found, sizes = best(everything, everything, gradient, missing[row])
        found = found[sizes >= 0]
        rows.append(np.full(found.size, row))
        columns.append(found)
    r, c = np.concatenate(rows), np.concatenate(columns)
    initial = layer.initializer if initial is None else initial
    return Change(keep, r, c, initial.draw(W.pattern, r.size, layer.rng()))
