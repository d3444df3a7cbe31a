"""RetainValidUpdates: of a gradient on an older topology, the entries that still have a place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import CsrPattern
from sparsebench_parallel.mpi.differences import found_in

Vector = npt.NDArray[np.float32]


def retained(old: CsrPattern, new: CsrPattern, DW: Vector) -> tuple[Vector, int]:
    """DW (old nnz,) on the connections of `new`, 0 where they are younger; and how many entries
    were kept.

    Curci et al. (2021), arXiv 2102.01732, RetainValidUpdates. A connection that was dropped and
    grown again at its place counts as the same one, as in the released code.
    """
    there, at = found_in(new.keys(), old.keys())
    out = np.zeros(new.nnz, dtype=DW.dtype)
    out[there] = DW[at[there]]
    return out, int(np.count_nonzero(there))
