"""RadiX-Net: a fixed topology whose every input reaches every output after a few layers.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from sparsebench.core.sizes import Shape
from sparsebench.seeds import generator
from sparsebench_plugins.topologies.dynamic import Fixed

if TYPE_CHECKING:
    from sparsebench.core.methods.initial import InitialNetwork
    from sparsebench.core.sparse.csr import CsrPattern


@dataclass(frozen=True)
class RadixNet(Fixed):
    """Input i is connected with output j if (p(i) - j) mod M is 0 or 2^k.

    group  least number of inputs with the same p(i); an output has twice as many connections
    seed   seed of the maps p

    M is the largest power of two that divides the number of inputs D and is at most D / group. k is
    0 in the first layer, rises by one per layer up to log2 M - 1, and then starts again at 0. In
    the first log2 M layers, p(i) = i mod M. Each further block of log2 M layers has another map p,
    which takes each value for the same number of inputs. A layer with M of 1 or 2 is dense.

    Robinett and Kepner (2019), arXiv 1905.00416. The official network of 1,024 neurons of the Graph
    Challenge (arXiv 1909.05631) has this form with M = 64, and other maps.
    """

    group: Annotated[int, Interval(gt=0)] = 16
    seed: Annotated[int, Interval(ge=0)] = 0

    def residues(self, D: int) -> int:
        """M for D inputs."""
        M = 1
        while D % (2 * M) == 0 and 2 * M * self.group <= D:
            M *= 2
        return M

    def fan_in(self, D: int) -> int:
        """The number of connections of an output."""
        return 2 * D // max(2, self.residues(D))

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        return [K * self.fan_in(D) for K, D in shapes]

    def patterns(self, network: InitialNetwork) -> Iterator[CsrPattern]:
        for index, shape in enumerate(network.shapes):
            yield self.pattern(index, shape)

    def pattern(self, index: int, shape: Shape) -> CsrPattern:
        """The connections of a layer, counted from 0: O(nnz) time and memory."""
        import numpy as np

        from sparsebench.core.sparse.csr import CsrPattern, index_dtype

        K, D = shape
        M, fan_in = self.residues(D), self.fan_in(D)
        if M <= 2:
            return CsrPattern.full(shape)
        block, k = divmod(index, M.bit_length() - 1)
        p = np.arange(D) % M
        if block:
            p = generator(self.seed, "topology", block).permutation(p)
        by_residue = np.argsort(p, kind="stable").reshape(M, -1)
        inputs = np.concatenate([by_residue, np.roll(by_residue, -(2**k), axis=0)], axis=1)
        inputs.sort(axis=1)
        dtype = index_dtype(K * fan_in)
        indptr = np.arange(0, K * fan_in + 1, fan_in, dtype=dtype)
        return CsrPattern(shape, indptr, inputs.astype(dtype)[np.arange(K) % M].reshape(-1))
