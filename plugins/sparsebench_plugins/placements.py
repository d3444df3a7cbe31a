"""Allocations that also choose where the first connections are, by shapes or by the inputs.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from sparsebench.core.sizes import Shape
from sparsebench_plugins.allocations import DEFAULT_EPSILON, erdos_renyi, uniform

if TYPE_CHECKING:
    import numpy as np

    from sparsebench.core.methods.initial import InitialNetwork
    from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern, Ints

    Ends = Callable[[int], tuple[Ints, Ints]]


class Placed:
    """Base class: the same density in each layer, or epsilon (K + D) connections; `pattern` chooses
    their positions."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        if density is not None:
            return uniform(shapes, density)
        return erdos_renyi(shapes, DEFAULT_EPSILON if epsilon is None else epsilon)

    def patterns(self, network: InitialNetwork) -> Iterable[CsrPattern | CsrMatrix]:
        for index, (shape, nnz) in enumerate(zip(network.shapes, network.counts, strict=True)):
            yield self.pattern(shape, nnz, network.rng(index))

    def pattern(self, shape: Shape, nnz: int, rng: np.random.Generator) -> CsrPattern:
        raise NotImplementedError


@dataclass(frozen=True)
class ReceptiveField(Placed):
    """Each output neuron is connected to inputs near its own place on a ring; farther inputs are
    less likely.

    r  0: only the nearest inputs, a band; 1: any input, as in Erdős-Rényi

    CHTs, Zhang et al. (2025), arXiv 2501.19107, the bipartite receptive field as released: an input
    at ring distance x has a probability in proportion to (1 + x)^(-(1 - r) / r). Deviation: all
    outputs have the same number of connections; the numbers differ by at most one.
    """

    r: Annotated[float, Interval(ge=0, le=1)] = 0.25

    def pattern(self, shape: Shape, nnz: int, rng: np.random.Generator) -> CsrPattern:
        import numpy as np

        D = shape[1]
        distance = np.arange(D) // 2 + np.arange(D) % 2  # of the places 0, 1, -1, 2, -2, ...
        if self.r == 0:
            return _nearest(shape, nnz, rng)
        weight = (1.0 + distance) ** (-(1 - self.r) / self.r)
        upto = np.cumsum(weight)

        def draw(rows: Ints) -> Ints:
            at = np.searchsorted(upto, rng.random(rows.size) * upto[-1], side="right")
            drawn: Ints = np.minimum(at, D - 1)
            return drawn

        return _by_places(shape, nnz, rng, draw)


@dataclass(frozen=True)
class ConstantFanIn(ReceptiveField):
    """Random inputs, with the same number of connections for each output neuron; the numbers differ
    by at most one."""

    r: Annotated[float, Interval(ge=0, le=1)] = 1.0


@dataclass(frozen=True)
class SmallWorld(Placed):
    """Each output neuron is connected to the nearest inputs on a ring; then a share of the
    connections is rewired at random.

    beta  share of the connections that are rewired: 0: a band; 1: as in Erdős-Rényi

    Watts and Strogatz (1998), doi 10.1038/30918, between two layers; an initial topology of
    Cannistraci-Hebb training (Zhang et al. 2024).
    """

    beta: Annotated[float, Interval(ge=0, le=1)] = 0.25

    def pattern(self, shape: Shape, nnz: int, rng: np.random.Generator) -> CsrPattern:
        import numpy as np

        from sparsebench.core.sparse.sampling import free_positions

        band = _nearest(shape, nnz, rng)
        keep = rng.random(nnz) >= self.beta
        rows, columns = free_positions(band, keep, nnz - int(keep.sum()), rng)
        return _pattern(
            shape,
            np.concatenate([band.rows[keep], rows]),
            np.concatenate([band.indices[keep], columns]),
        )


@dataclass(frozen=True)
class ScaleFree(Placed):
    """Both ends of a connection are drawn with probabilities that fall as a power of the neuron's
    rank, so that degrees follow a power law on both sides.

    gamma  exponent of the power law

    The static model of Goh, Kahng and Kim (2001), doi 10.1103/PhysRevLett.87.278701, between two
    layers: the probability of rank i is in proportion to i^(-1 / (gamma - 1)). Deviation: the
    bipartite scale-free start of Cannistraci-Hebb training rewires a Barabasi-Albert network, but
    no text defines it well enough.
    """

    gamma: Annotated[float, Interval(gt=2)] = 3.0

    def pattern(self, shape: Shape, nnz: int, rng: np.random.Generator) -> CsrPattern:
        import numpy as np

        def ends(size: int) -> Callable[[int], Ints]:
            upto = np.cumsum(np.arange(1, size + 1) ** (-1 / (self.gamma - 1)))
            place = rng.permutation(size)
            return lambda count: place[np.searchsorted(upto, rng.random(count) * upto[-1])]

        rows, columns = (ends(size) for size in shape)
        return _distinct(shape, nnz, rng, lambda count: (rows(count), columns(count)))


@dataclass(frozen=True)
class Csti(Placed):
    """Correlated sparse topological initialisation (CSTI): connections are at the pairs of inputs
    with the largest correlations, in each layer.

    samples  number of training samples from which correlations are computed

    Zhang et al. (2024). Hidden neurons represent inputs in order, starting again with the first if
    there are more neurons; pairs of the same input are left out, as in the released code. Pairs are
    ranked by |Pearson correlation| as in the paper; the released code ranks signed correlations.
    All K D correlations are computed, in tiles.
    """

    samples: Annotated[int, Interval(gt=1)] = 1000

    def patterns(self, network: InitialNetwork) -> Iterable[CsrPattern | CsrMatrix]:
        import numpy as np

        from sparsebench.core.sparse.gradients import largest_free_gradients
        from sparsebench.core.sparse.sampling import free_positions

        X = np.asarray(network.examples(self.samples)[0], dtype=np.float64)
        X = X - X.mean(axis=1, keepdims=True)
        norms = np.sqrt((X * X).sum(axis=1, keepdims=True))
        X = np.divide(X, norms, out=np.zeros_like(X), where=norms > 0).astype(np.float32)
        features = len(X)
        for index, ((K, D), nnz) in enumerate(zip(network.shapes, network.counts, strict=True)):
            rows, columns = (np.arange(size) % features for size in (K, D))
            same = _same(rows, columns, features)
            of_inputs, of_outputs = X[columns], X[rows]
            kept = np.ones(same.nnz, dtype=bool)
            r, c, _ = largest_free_gradients(of_inputs, of_outputs, same, kept, nnz)
            if r.size < nnz:  # the pairs left out are needed after all
                found = _pattern((K, D), r, c)
                more = free_positions(
                    found, np.ones(r.size, bool), nnz - r.size, network.rng(index)
                )
                r, c = (np.concatenate(pair) for pair in zip((r, c), more, strict=True))
            pattern: CsrPattern = _pattern((K, D), r, c)
            yield pattern


def _same(rows: Ints, columns: Ints, features: int) -> CsrPattern:
    """The positions whose output and input represent the same feature."""
    import numpy as np

    times = np.arange(0, columns.size, features)
    places = rows[:, None] + times[None, :]
    inside = places < columns.size
    return _pattern((rows.size, columns.size), np.nonzero(inside)[0], places[inside])


def _pattern(shape: Shape, rows: Ints, columns: Ints) -> CsrPattern:
    import numpy as np

    from sparsebench.core.sparse.csr import CsrPattern

    keys = rows.astype(np.int64) * shape[1] + columns
    return CsrPattern.from_keys(shape, np.sort(keys))


def _row_counts(shape: Shape, nnz: int, rng: np.random.Generator) -> Ints:
    """(K,) the number of connections of each output: equal, but one more for some random
    outputs."""
    import numpy as np

    K = shape[0]
    counts = np.full(K, nnz // K)
    counts[rng.permutation(K)[: nnz % K]] += 1
    return counts


def _nearest(shape: Shape, nnz: int, rng: np.random.Generator) -> CsrPattern:
    """A pattern of each output's nearest inputs on the ring."""
    import numpy as np

    counts = _row_counts(shape, nnz, rng)
    rows = np.repeat(np.arange(shape[0]), counts)
    place = np.arange(nnz) - np.repeat(np.cumsum(counts) - counts, counts)
    return _pattern(shape, rows, _column(shape, rows, place))


def _column(shape: Shape, rows: Ints, place: Ints) -> Ints:
    """The column of each connection. Inputs and outputs lie on one ring, and an output is opposite
    to an input; `place` numbers the inputs by their offset from that: 0, 1, 2, 3, 4, ... stand for
    the offsets 0, 1, -1, 2, -2, ...

    rows, place  output and place of each connection
    """
    K, D = shape
    side = (place + 1) // 2 * (2 * (place % 2) - 1)
    column: Ints = (rows * D // K + side) % D
    return column


def _by_places(
    shape: Shape, nnz: int, rng: np.random.Generator, draw: Callable[[Ints], Ints]
) -> CsrPattern:
    """A pattern with distinct inputs for each output.

    draw  returns a random place (see `_column`) for each given row
    """
    import numpy as np

    K, D = shape
    counts = _row_counts(shape, nnz, rng)
    keys = np.empty(0, dtype=np.int64)
    missing = counts.copy()
    for _ in range(ROUNDS):
        if not missing.any():
            break
        rows = np.repeat(np.arange(K), missing)
        fresh = rows.astype(np.int64) * D + _column(shape, rows, draw(rows))
        keys = np.unique(np.concatenate([keys, fresh]))
        missing = counts - np.bincount(keys // D, minlength=K)
    return _completed(shape, keys, nnz, rng)


def _distinct(shape: Shape, nnz: int, rng: np.random.Generator, draw: Ends) -> CsrPattern:
    """A pattern of nnz distinct positions.

    draw  returns that many random rows and columns; called until there are nnz distinct pairs
    """
    import numpy as np

    keys = np.empty(0, dtype=np.int64)
    for _ in range(ROUNDS):
        if keys.size >= nnz:
            break
        rows, columns = draw(nnz - keys.size)
        fresh = rows.astype(np.int64) * shape[1] + columns
        keys = np.unique(np.concatenate([keys, fresh]))
    return _completed(shape, keys, nnz, rng)


ROUNDS = 60
"""The most rounds of drawing again positions that were not distinct; positions that are still
missing then are drawn uniformly."""


def _completed(shape: Shape, keys: Ints, nnz: int, rng: np.random.Generator) -> CsrPattern:
    import numpy as np

    from sparsebench.core.sparse.csr import CsrPattern
    from sparsebench.core.sparse.sampling import free_positions

    found = CsrPattern.from_keys(shape, keys)
    more = free_positions(found, np.ones(keys.size, dtype=bool), nnz - keys.size, rng)
    return _pattern(
        shape,
        np.concatenate([found.rows, more[0]]),
        np.concatenate([found.indices, more[1]]),
    )
