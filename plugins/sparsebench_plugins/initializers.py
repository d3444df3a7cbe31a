"""Initializers: the values of new connections. Free of heavy imports: functions import numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

if TYPE_CHECKING:
    import numpy as np

    from sparsebench.core.arrays import Mask, Vector
    from sparsebench.core.methods.view import LayerView
    from sparsebench.core.sparse.csr import CsrPattern, Ints


@dataclass(frozen=True)
class UniformByFan:
    """Uniform values within a limit that depends on a neuron's fan-in and fan-out.

    fan  dense: fan-in D and fan-out K for any density, as in the papers; sparse: the mean numbers
         of connections of a neuron, nnz / K and nnz / D
    """

    fan: Literal["dense", "sparse"] = "dense"

    def limit(self, fan_in: float, fan_out: float) -> float:
        raise NotImplementedError

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        """Uniform values in [-limit, limit), drawn as float32."""
        K, D = pattern.shape
        fans = float(D), float(K)
        if self.fan == "sparse":
            fans = max(1.0, pattern.nnz / K), max(1.0, pattern.nnz / D)
        limit = self.limit(*fans)
        values = rng.random(count, dtype="float32")
        values *= values.dtype.type(2 * limit)
        values -= values.dtype.type(limit)
        return values


class HeUniform(UniformByFan):
    """Uniform within sqrt(6 / fan_in). He et al. (2015), arXiv 1502.01852."""

    def limit(self, fan_in: float, fan_out: float) -> float:
        return math.sqrt(6 / fan_in)


class XavierUniform(UniformByFan):
    """Uniform within sqrt(6 / (fan_in + fan_out)). Glorot and Bengio (2010)."""

    def limit(self, fan_in: float, fan_out: float) -> float:
        return math.sqrt(6 / (fan_in + fan_out))


@dataclass(frozen=True)
class Normal:
    """Values from N(0, deviation^2), as in the released truly sparse codes.

    deviation  standard deviation
    """

    deviation: Annotated[float, Interval(gt=0)] = 0.1

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        values = rng.standard_normal(count, dtype="float32")
        values *= values.dtype.type(self.deviation)
        return values


@dataclass(frozen=True)
class Zeros:
    """Values 0.0, with which RigL starts grown connections."""

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        import numpy as np

        return np.zeros(count, dtype=np.float32)


@dataclass(frozen=True)
class SparseWeights:
    """Sparse weight initialisation (SWI): values from N(0, sigma^2) with sigma = sqrt(2 / fan_in),
    where fan_in is the mean number of incoming connections of a neuron in the layer, nnz / K.

    Zhang et al. (2024), Epitopological learning and Cannistraci-Hebb network shape intelligence
    (ICLR), sparse weight initialisation: sigma = sqrt(2) / sqrt((1 - S) n_in), S the sparsity.
    """

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        values = rng.standard_normal(count, dtype="float32")
        values *= values.dtype.type(math.sqrt(2 * pattern.shape[0] / max(1, pattern.nnz)))
        return values


@dataclass(frozen=True)
class LastValue(Zeros):
    """For grown connections: the weight that the position had when it was last dropped, else 0.

    CHTs, Zhang et al. (2025), arXiv 2501.19107: historical weights. Deviation: only the positions
    dropped last are remembered, as many as the layer has connections; the released code keeps a
    dense array.
    """

    def values_at(self, layer: LayerView, keep: Mask, rows: Ints, columns: Ints) -> Vector:
        import numpy as np

        W, D = layer.W, layer.W.shape[1]
        remembered, none = layer.state.positions, np.empty(0, dtype=W.indices.dtype)
        old_rows, old_columns, values = remembered.get(
            ("last", layer.index), (none, none, np.empty(0, dtype=np.float32))
        )
        keys = old_rows.astype(np.int64) * D + old_columns
        dropped = W.rows[~keep].astype(np.int64) * D + W.indices[~keep]
        fresh = ~np.isin(keys, dropped)  # the older ones stand first
        keys = np.concatenate([keys[fresh], dropped])[-W.nnz :]
        values = np.concatenate([values[fresh], W.data[~keep]])[-W.nnz :]
        order = np.argsort(keys)
        wanted = rows.astype(np.int64) * D + columns
        at = np.minimum(np.searchsorted(keys, wanted, sorter=order), max(0, keys.size - 1))
        found = np.zeros(wanted.size, dtype=np.float32)
        if keys.size:
            known = keys[order[at]] == wanted
            found[known] = values[order[at[known]]]
        places = (ends.astype(none.dtype) for ends in np.divmod(keys, D))
        remembered["last", layer.index] = (next(places), next(places), values)
        return found
