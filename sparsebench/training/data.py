"""From a data set's arrays to batches: checks, split, standardisation, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparsebench.errors import DataError
from sparsebench.seeds import generator

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

TEST_FRACTION = 1 / 3
"""Of a data set that comes without a split, as the papers split their micro-array sets."""

BLOCK = 1 << 20
"""Values that a pass over X holds at once."""


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
    """What a trial trains on."""

    train: Samples
    test: Samples
    validation: Samples | None
    classes: int
    fingerprint: str

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
        out = np.empty(chosen.shape[::-1], dtype=self.mean.dtype)
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
    y, y_test, classes = encode_labels(parts.y_train, parts.y_test, parts.source)
    rows = np.arange(y.size, dtype=np.int64)
    if y_test is None:
        rows, test_rows = _split(y, TEST_FRACTION, root, parts.source, "test part")
        X_test, y_test = parts.X_train, y[test_rows]
    else:
        assert parts.X_test is not None
        X_test, test_rows = parts.X_test, np.arange(y_test.size, dtype=np.int64)
    held = rows[:0]
    if validation > 0:
        kept, out = _split(y[rows], validation, root, parts.source, "validation part", 1)
        rows, held = rows[kept], rows[out]
    mean, scale = standardisation(parts.X_train, rows, parts.source)
    origin = array_fingerprint(parts.arrays())

    def samples(X: Array, rows: Rows, labels: Labels) -> Samples:
        return ArraySamples(X, rows, labels, mean, scale, origin)

    return TrialData(
        train=samples(parts.X_train, rows, y[rows]),
        test=samples(X_test, test_rows, y_test),
        validation=samples(parts.X_train, held, y[held]) if held.size else None,
        classes=classes,
        fingerprint=origin,
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
        kept, out = _split(train.labels, validation, root, "data", "validation part", 1)
        train, held = Subset(train, kept), Subset(train, out)
    fingerprint = hashlib.blake2b("|".join(marks).encode(), digest_size=16).hexdigest()
    return TrialData(train, test, held, classes, fingerprint)


# --- the split -----------------------------------------------------------------------


def stratified_split(y: Labels, fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows kept and rows held out, both ascending, each class in proportion.

    round(fraction n) rows are held out where that is possible: of every class with two
    samples at least one is on each side, and a class with one sample is kept.
    """
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes, minlength=classes.size)
    held = np.zeros(y.size, dtype=bool)
    for code, count in enumerate(_held_per_class(counts, fraction)):
        held[rng.permutation(np.flatnonzero(codes == code))[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _held_per_class(counts: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.int64]:
    """Largest remainders first, within 1..count - 1."""
    exact = fraction * counts
    upper = np.minimum(np.ceil(exact).astype(np.int64).clip(min=1), counts - 1)
    held: npt.NDArray[np.int64] = np.minimum(np.floor(exact).astype(np.int64).clip(min=1), upper)
    short = round(fraction * int(counts.sum())) - int(held.sum())
    for code in np.argsort(held - exact, kind="stable"):
        if short > 0 and held[code] < upper[code]:
            held[code] += 1
            short -= 1
    return held


def _split(
    y: Labels, fraction: float, root: int, source: str, part: str, *indices: int
) -> tuple[Rows, Rows]:
    kept, held = stratified_split(y, fraction, generator(root, "split", *indices))
    if held.size == 0:
        raise DataError(
            f"{source}: no {part} can be split off, every class has a single sample; expected "
            "classes with two samples or more: is this the right label column?"
        )
    return kept, held


# --- checks and labels ---------------------------------------------------------------


def check_parts(parts: Parts) -> None:
    """Everything that arrays can have wrong, before anything is computed from them."""
    source, arrays = parts.source, parts.arrays()
    if (parts.X_test is None) != (parts.y_test is None):
        absent = "X_test" if parts.X_test is None else "y_test"
        raise DataError(f"{source}: {absent} is missing; expected both X_test and y_test, or none")
    for name, array in arrays.items():
        if name.startswith("X"):
            _check_features(array, f"{source}: {name}")
            _check_labels(arrays["y" + name[1:]], array.shape[0], f"{source}: y{name[1:]}")
    if parts.X_test is not None and parts.X_test.shape[1] != parts.X_train.shape[1]:
        raise DataError(
            f"{source}: X_test has {parts.X_test.shape[1]} features and X_train "
            f"{parts.X_train.shape[1]}; expected the same number"
        )


def _check_features(X: Array, where: str) -> None:
    if X.ndim != 2:
        raise DataError(f"{where} has shape {X.shape}; expected two axes, (samples, features)")
    if X.dtype.kind not in "biuf":
        raise DataError(f"{where} has dtype {X.dtype}; expected numbers: encode the others first")
    if 0 in X.shape:
        raise DataError(f"{where} is empty, shape {X.shape}; expected a sample and a feature")
    if X.dtype.kind != "f":
        return
    start = 0
    for block in _blocks(X):
        bad = ~np.isfinite(block)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"{where} has {block[row, column]} at row {start + row}, column {column} "
                "(from 0); expected finite numbers: fill in or remove such samples first"
            )
        start += len(block)


def _check_labels(y: Array, samples: int, where: str) -> None:
    if y.ndim != 1:
        raise DataError(f"{where} has shape {y.shape}; expected one axis, a label per sample")
    if y.size != samples:
        raise DataError(f"{where} has {y.size} labels for {samples} samples; expected one each")
    if y.dtype.kind not in "biufUS":
        raise DataError(f"{where} has dtype {y.dtype}; expected integers or strings")
    if y.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(y) | (np.floor(y) != y))
        if odd.size:
            raise DataError(
                f"{where} has {y[odd[0]]} at row {odd[0]}; expected classes, which are integers "
                "or strings: regression is not supported"
            )


def encode_labels(
    y_train: Array, y_test: Array | None, source: str
) -> tuple[Labels, Labels | None, int]:
    """Labels as 0..classes - 1 in the order of the training part's sorted labels."""
    known, codes = np.unique(y_train, return_inverse=True)
    if known.size < 2:
        raise DataError(
            f"{source}: {known.size} class in the training labels ({known[0]}); expected at least 2"
        )
    train = codes.astype(np.int64)
    if y_test is None:
        return train, None, known.size
    text_train, text_test = (y.dtype.kind in "US" for y in (y_train, y_test))
    if text_train != text_test:
        raise DataError(
            f"{source}: labels are {y_train.dtype} in the train part and {y_test.dtype} in the "
            "test part; expected the same kind"
        )
    test = np.searchsorted(known, y_test).clip(max=known.size - 1).astype(np.int64)
    unseen = np.flatnonzero(known[test] != y_test)
    if unseen.size:
        raise DataError(
            f"{source}: label {y_test[unseen[0]]} at row {unseen[0]} of the test part is not "
            f"among the {known.size} labels of the train part; expected every class in training"
        )
    return train, test, known.size


# --- standardisation -----------------------------------------------------------------


def standardisation(X: Array, rows: Rows, source: str = "data") -> tuple[Array, Array]:
    """Mean and 1 / standard deviation of each feature over `rows`, (features, 1) each.

    32-bit integers and 64-bit numbers are later standardised in float64, all else in float32,
    and the two arrays have that dtype. A feature without spread gets scale 0.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = _moments(X, rows)
    if not np.isfinite(std).all():
        column = int(np.flatnonzero(~np.isfinite(std))[0])
        raise DataError(
            f"{source}: feature {column} is too large to be standardised (its variance passes "
            "1e308); expected moderate numbers: rescale it first"
        )
    spread = std > np.finfo(np.float32).tiny
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=spread)
    dtype = np.float64 if np.result_type(X.dtype, np.float32).itemsize > 4 else np.float32
    return mean.astype(dtype)[:, None], scale.astype(dtype)[:, None]


def _moments(X: Array, rows: Rows) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, float64.

    The sums are of x - x_0 with x_0 the first row, so that a constant feature has variance 0
    exactly, and not what rounding leaves.
    """
    first = X[rows[0]].astype(np.float64)
    total = np.zeros(X.shape[1])
    for block in _blocks(X, rows):
        total += (block - first).sum(axis=0)
    mean = first + total / rows.size
    squares = np.zeros(X.shape[1])
    for block in _blocks(X, rows):
        centred = block - mean
        squares += np.einsum("ij,ij->j", centred, centred)
    return mean, np.sqrt(squares / rows.size)


def _blocks(X: Array, rows: Rows | None = None) -> Iterator[Array]:
    """X (its `rows`), some rows at a time: no second copy of X comes to exist."""
    count = max(1, BLOCK // X.shape[1])
    for start in range(0, len(X) if rows is None else rows.size, count):
        part = slice(start, start + count)
        yield X[part] if rows is None else X[rows[part]]
