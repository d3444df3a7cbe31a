"""From what a data set loads to what a trial trains on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparsebench.core.data.checks import check_parts, encode_labels
from sparsebench.core.data.split import split
from sparsebench.core.data.standardise import standardisation
from sparsebench.core.nn.aligned import aligned_empty
from sparsebench.errors import DataError

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

TEST_FRACTION = 1 / 3
"""Of a data set that comes without a split, as the papers split their micro-array sets."""


class Samples(Protocol):
    """Samples that are read batch by batch."""

    @property
    def features(self) -> int: ...

    @property
    def labels(self) -> Labels: ...

    def batch(self, rows: Rows) -> Matrix:
        """(features, N) float32, contiguous: the samples `rows`, standardised."""

    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Parts:
    """A data set's arrays as they came. X is (samples, features), y are labels.

    Without a test part, the split is drawn from the trial's seed. `source` is what a message
    about the arrays starts with: a file, a name.
    """

    X_train: Array
    y_train: Array
    X_test: Array | None = None
    y_test: Array | None = None
    source: str = "data"

    def arrays(self) -> dict[str, Array]:
        """The arrays that are there, by name; X and y where there is no split."""
        if self.X_test is None or self.y_test is None:
            return {"X": self.X_train, "y": self.y_train}
        return {
            "X_train": self.X_train,
            "y_train": self.y_train,
            "X_test": self.X_test,
            "y_test": self.y_test,
        }


@dataclass(frozen=True)
class TrialData:
    """What a trial trains on.

    names        (classes,) the labels as they came, where they came as arrays
    mean, scale  (features, 1) what features are standardised with: (x - mean) * scale
    """

    train: Samples
    test: Samples
    validation: Samples | None
    classes: int
    fingerprint: str
    names: Array | None = None
    mean: Array | None = None
    scale: Array | None = None

    @property
    def features(self) -> int:
        return self.train.features


def array_fingerprint(arrays: dict[str, Array]) -> str:
    """Hash of names, dtypes, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ArraySamples:
    """Rows of an array that other parts may share; it keeps its dtype.

    X      (samples, features)  as stored
    rows   (n,)                 which of them belong to this part
    mean   (features, 1)        of the training samples
    scale  (features, 1)        1 / standard deviation, 0 for a constant feature
    origin                      fingerprint of the arrays that X is one of
    """

    X: Array
    rows: Rows
    labels: Labels
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

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(self.origin.encode(), digest_size=16)
        for array in (self.rows, self.labels, self.mean, self.scale):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Subset:
    """Some rows of samples that are not held in an array."""

    whole: Samples
    rows: Rows

    @property
    def features(self) -> int:
        return self.whole.features

    @property
    def labels(self) -> Labels:
        return self.whole.labels[self.rows]

    def batch(self, rows: Rows) -> Matrix:
        return self.whole.batch(self.rows[rows])

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(self.whole.fingerprint().encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.rows).data)
        return digest.hexdigest()


def prepare(
    data: Parts | tuple[Samples, Samples, int],
    *,
    seed: int,
    split_seed: int | None = None,
    validation: float = 0.0,
) -> TrialData:
    """What a trial trains on, from what `Dataset.load` gave.

    Where there is no split, a third is the test part, stratified. `validation` is the fraction
    of the training samples held out for selection. Both are drawn from `split_seed`, else from
    `seed`. Features are standardised with the mean and standard deviation of the training
    samples that remain. Raises DataError.
    """
    if not 0 <= validation < 1:
        raise DataError(
            f"validation: {validation} is no fraction of the training samples; "
            "expected a number from 0 to below 1"
        )
    root = seed if split_seed is None else split_seed
    if isinstance(data, Parts):
        return _from_arrays(data, root, validation)
    return _from_samples(*data, root, validation)


def _from_arrays(parts: Parts, root: int, validation: float) -> TrialData:
    check_parts(parts)
    y, y_test, names = encode_labels(parts.y_train, parts.y_test, parts.source)
    rows = np.arange(y.size, dtype=np.int64)
    if y_test is None:
        rows, test_rows = split(y, TEST_FRACTION, root, parts.source, "test part")
        X_test, y_test = parts.X_train, y[test_rows]
    else:
        assert parts.X_test is not None
        X_test, test_rows = parts.X_test, np.arange(y_test.size, dtype=np.int64)
    held = rows[:0]
    if validation > 0:
        kept, out = split(y[rows], validation, root, parts.source, "validation part", 1)
        rows, held = rows[kept], rows[out]
    mean, scale = standardisation(parts.X_train, rows, parts.source)
    origin = array_fingerprint(parts.arrays())

    def samples(X: Array, rows: Rows, labels: Labels) -> Samples:
        return ArraySamples(X, rows, labels, mean, scale, origin)

    return TrialData(
        train=samples(parts.X_train, rows, y[rows]),
        test=samples(X_test, test_rows, y_test),
        validation=samples(parts.X_train, held, y[held]) if held.size else None,
        classes=names.size,
        fingerprint=origin,
        names=names,
        mean=mean,
        scale=scale,
    )


def _from_samples(
    train: Samples, test: Samples, classes: int, root: int, validation: float
) -> TrialData:
    for part, samples in (("train", train), ("test", test)):
        labels = samples.labels
        if labels.size == 0:
            raise DataError(f"data: the {part} part is empty; expected at least one sample")
        if labels.min() < 0 or labels.max() >= classes:
            raise DataError(
                f"data: labels of the {part} part are {labels.min()}..{labels.max()}; "
                f"expected 0..{classes - 1} for {classes} classes"
            )
    if train.features != test.features:
        raise DataError(
            f"data: {train.features} features in the train part and {test.features} in the "
            "test part; expected the same number"
        )
    marks = (train.fingerprint(), test.fingerprint(), str(classes))
    held: Samples | None = None
    if validation > 0:
        kept, out = split(train.labels, validation, root, "data", "validation part", 1)
        train, held = Subset(train, kept), Subset(train, out)
    fingerprint = hashlib.blake2b("|".join(marks).encode(), digest_size=16).hexdigest()
    return TrialData(train, test, held, classes, fingerprint)
