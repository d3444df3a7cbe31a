"""A batch of inputs of which only the stored values are kept, in csr form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.nn.buffers import aligned_empty


@dataclass(frozen=True, eq=False)
class CsrBatch:
    """A batch X (features, N) of which only some values are stored; the others are 0.

    indptr   (N + 1,)   int64: where the values of each sample begin
    indices  (stored,)  int32: the feature of each value, ascending within a sample
    data     (stored,)  float32: the values, scaled
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    data: Vector
    features: int

    @classmethod
    def of(cls, X: Matrix) -> CsrBatch:
        """The csr batch of a dense X (features, N), without its zeros."""
        samples, features = np.nonzero(X.T)
        indptr = np.searchsorted(samples, np.arange(X.shape[1] + 1))
        data = np.ascontiguousarray(X[features, samples], dtype=np.float32)
        return cls(indptr.astype(np.int64), features.astype(np.int32), data, X.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        return self.features, self.indptr.size - 1

    @property
    def samples(self) -> npt.NDArray[np.int64]:
        """(stored,) the sample of each value."""
        return np.repeat(np.arange(self.shape[1]), np.diff(self.indptr))

    def matrix(self) -> Any:
        """(N, features) as scipy's csr, which shares the arrays."""
        from scipy.sparse import csr_array

        return csr_array((self.data, self.indices, self.indptr), shape=self.shape[::-1])

    def dense(self) -> Matrix:
        """(features, N) float32, contiguous."""
        X: Matrix = aligned_empty(self.shape)
        X.fill(0)
        X[self.indices, self.samples] = self.data
        return X

    def __abs__(self) -> CsrBatch:
        return replace(self, data=np.abs(self.data))

    def __matmul__(self, v: Vector) -> Array:
        """X v, (features,) float64.  v (N,)"""
        return np.bincount(self.indices, self.data * v[self.samples], self.features)


Batch = Matrix | CsrBatch
"""Inputs (features, N) of the samples of a batch."""
