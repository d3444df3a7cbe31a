"""Loaded data: arrays, or samples that are read batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Rows
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.data.csr_data import is_dense
from sparsebench.core.nn.buffers import aligned_empty

TargetKind = Literal["labels", "numbers", "vectors", "flags"]
"""The target of a sample: a class, a number, several numbers, or several flags of 0 or 1."""


@dataclass(frozen=True)
class ImageShape:
    """The shape of inputs that are the pixels of an image.

    order  of the pixels, as in numpy: "C" row by row with the channels of a pixel together, "F"
           column by column, one channel after the other
    """

    height: int
    width: int
    channels: int = 1
    order: Literal["C", "F"] = "C"


@dataclass(frozen=True, eq=False)
class Inputs:
    """How inputs were scaled: (x - mean) * scale, with mean and scale (features, 1). They are None
    if the data set scales its samples itself.

    names  of the features; None if they have none
    image  the image's shape if the inputs are known to be pixels
    """

    features: int
    mean: Array | None = None
    scale: Array | None = None
    names: Sequence[str] | None = None
    image: ImageShape | None = None

    def scaled(self, X: Any) -> Batch:
        """The network's inputs (features, N) for X (N, features), an array or scipy's csr, which is
        not scaled yet. Csr stays csr, unless there is a mean to subtract."""
        if is_dense(X):
            columns = X.T
            if self.mean is not None and self.scale is not None:
                columns = (columns - self.mean) * self.scale
            return np.ascontiguousarray(columns, dtype=np.float32)
        if self.mean is not None and self.mean.any():
            return self.scaled(X.toarray())
        return csr_batch(X, self.scale)

    def unscaled(self, X: Matrix) -> Array:
        """X (features, N) in the data's own units. A feature whose scale is 0 gets its mean."""
        if self.mean is None or self.scale is None:
            return X
        spread = np.divide(1, self.scale, out=np.zeros_like(self.scale), where=self.scale != 0)
        unscaled: Array = X * spread + self.mean
        return unscaled


@dataclass(frozen=True, eq=False)
class TargetData:
    """The targets that an objective is fitted to.

    y        a row for each training sample, as loaded
    rows     the rows of y that are trained on; the others are held out
    outputs  number of classes, or of numbers per target; None if the data set does not declare it
    source   the start of messages about the data
    """

    y: Array
    rows: Rows
    inputs: Inputs
    outputs: int | None = None
    source: str = "data"


def csr_batch(X: Any, scale: Array | None) -> CsrBatch:
    """The batch of X (N, features), scipy's csr. The values are multiplied by scale (features, 1);
    None: not scaled."""
    data = X.data
    if scale is not None:
        data = data.astype(scale.dtype) * scale[X.indices, 0]
    return CsrBatch(
        X.indptr.astype(np.int64),
        X.indices.astype(np.int32, copy=False),
        data.astype(np.float32, copy=False),
        int(X.shape[1]),
    )


class Samples(Protocol):
    """Samples that are read batch by batch.

    They may also define `csr`, True where `batch` gives a `CsrBatch`.
    """

    @property
    def features(self) -> int: ...

    @property
    def targets(self) -> Array:
        """The targets, a row per sample: int64 labels from 0 (n,), or numbers (n,) or
        (n, outputs)."""

    def batch(self, rows: Rows) -> Batch:
        """The scaled inputs of the samples `rows`: (features, N) float32, contiguous; or a
        `CsrBatch`."""

    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Parts:
    """A data set's arrays as loaded, with its parts: train, and test if there is one.

    X is (samples, features), an array or scipy's csr. y has the targets: labels or numbers
    (samples,), or (samples, outputs). Without a test part, the split is drawn from the trial's
    seed.

    source    the start of messages about the arrays: a file or a name
    kind      the kind of target; None: it is inferred from y
    features  names of the features; None if they have none
    target    the name of y, and why it was chosen as the target
    notes     lines for the user about how a file was read, and what was changed
    missing   how many values were missing in the file
    fill      "mean" or "median": how nan in X is replaced once the samples are split, by a value
              computed over the training samples; X is then changed in place
    noise     how many of the last features are known to be noise
    image     the image's shape if the features are pixels
    """

    X_train: Any
    y_train: Array
    X_test: Any = None
    y_test: Array | None = None
    source: str = "data"
    kind: TargetKind | None = None
    features: Sequence[str] | None = None
    target: str | None = None
    notes: tuple[str, ...] = ()
    missing: int = 0
    fill: Literal["mean", "median"] | None = None
    noise: int = 0
    image: ImageShape | None = None

    def arrays(self) -> dict[str, Any]:
        """The arrays by name; X and y if there is no split."""
        if self.X_test is None or self.y_test is None:
            return {"X": self.X_train, "y": self.y_train}
        return {
            "X_train": self.X_train,
            "y_train": self.y_train,
            "X_test": self.X_test,
            "y_test": self.y_test,
        }


def array_fingerprint(arrays: dict[str, Any]) -> str:
    """Hash of the arrays' names, dtypes, shapes and bytes. A csr matrix is hashed as its arrays."""
    digest = hashlib.blake2b(digest_size=16)
    plain: dict[str, Array] = {}
    for name, array in arrays.items():
        if is_dense(array):
            plain[name] = array
        else:
            parts = (array.indptr, array.indices, array.data, np.array(array.shape))
            plain |= {f"{name}.{i}": part for i, part in enumerate(parts)}
    for name, array in sorted(plain.items()):
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """X (samples, features) with contiguous rows; the network's input is (x - mean) * scale."""

    X: Array
    mean: Array
    scale: Array


@dataclass(frozen=True, eq=False)
class ScaledCsrRows:
    """A csr matrix X (samples, features) of scipy, whose rows are the network's inputs. Each value
    is multiplied by the scale of its feature; if there is no scale, values are used as stored."""

    X: Any
    scale: Array | None


RowSource = ScaledRows | ScaledCsrRows


@dataclass(frozen=True, eq=False)
class ArraySamples:
    """Rows of an array that other parts may share; it keeps its dtype.

    X      (samples, features)  as stored
    rows   (n,)                 the rows of X that belong to this part
    targets (n,) or (n, m)      of this part
    mean   (features, 1)        the network's input is (x - mean) * scale
    scale  (features, 1)
    origin                      fingerprint of the data set's arrays
    """

    X: Array
    rows: Rows
    targets: Array
    mean: Array
    scale: Array
    origin: str

    @property
    def features(self) -> int:
        return int(self.X.shape[1])

    def batch(self, rows: Rows) -> Matrix:
        chosen = self.X[self.rows[rows]]
        out = aligned_empty((chosen.shape[1], chosen.shape[0]), self.mean.dtype)
        out[...] = chosen.T
        out -= self.mean
        out *= self.scale
        return out.astype(np.float32, copy=False)

    def scaled_rows(self) -> ScaledRows | None:
        """All rows of X; None if compiled code does not support their type, or if they are not
        contiguous."""
        X = self.X.view(np.uint8) if self.X.dtype == np.bool_ else self.X
        known = X.dtype.isnative and X.dtype.kind in "iuf" and X.dtype != np.float16
        row, value = X.strides
        if not (known and value == X.itemsize and row >= 0 and row % X.itemsize == 0):
            return None
        return ScaledRows(X, self.mean, self.scale)

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(self.origin.encode(), digest_size=16)
        for array in (self.rows, self.targets, self.mean, self.scale):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class CsrSamples:
    """Rows of a csr matrix that other parts may share; it keeps its dtype.

    X       (samples, features)  scipy's csr, as stored, features ascending in each row
    rows    (n,)                 the rows of X that belong to this part
    targets (n,) or (n, m)       of this part
    scale   (features, 1)        the network's input is x * scale
    origin                       fingerprint of the data set's arrays
    """

    X: Any
    rows: Rows
    targets: Array
    scale: Array
    origin: str

    csr: ClassVar[bool] = True

    @property
    def features(self) -> int:
        return int(self.X.shape[1])

    def batch(self, rows: Rows) -> CsrBatch:
        return csr_batch(self.X[self.rows[rows]], self.scale)

    def scaled_rows(self) -> ScaledCsrRows | None:
        """All rows of X; None if compiled code does not support their type."""
        kind = self.X.data.dtype
        if not (kind.isnative and kind.kind in "iuf" and kind != np.float16):
            return None
        return ScaledCsrRows(self.X, None if (self.scale == 1).all() else self.scale)

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(self.origin.encode(), digest_size=16)
        for array in (self.rows, self.targets, self.scale):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
