"""The transpose W^T as a second csr matrix, for products with W^T."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from sparsebench.core.sparse.csr import CsrPattern, Ints


@dataclass(frozen=True)
class Transposed:
    """W^T (D, K) in canonical csr: indptr (D + 1,), rows (nnz,); place (nnz,) has the index of each
    connection in W's arrays."""

    indptr: Ints
    rows: Ints
    place: Ints

    @classmethod
    def of(cls, pattern: CsrPattern) -> Transposed:
        """The transpose of a pattern, sorted by scipy in time O(nnz + D)."""
        places = np.arange(pattern.nnz, dtype=pattern.indices.dtype)
        W = csr_matrix((places, pattern.indices, pattern.indptr), shape=pattern.shape).tocsc()
        return cls(W.indptr, W.indices, W.data)

    @property
    def nbytes(self) -> int:
        return int(self.indptr.nbytes + self.rows.nbytes + self.place.nbytes)
