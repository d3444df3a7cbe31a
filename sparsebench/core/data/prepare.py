"""Splits, checks and scales loaded data for a trial, which trains on the `Examples` made here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Labels, Rows
from sparsebench.core.data.csr_data import checked_csr, is_dense
from sparsebench.core.data.samples import (
    ArraySamples,
    CsrSamples,
    Inputs,
    Parts,
    Samples,
    ScaledRows,
    TargetData,
    array_fingerprint,
)
from sparsebench.core.data.scaling import blocks, scaling_of
from sparsebench.core.protocols import Corruption, CorruptsInputs, Objective, Targets
from sparsebench.core.trial import SCALINGS, fold_of
from sparsebench.errors import DataError
from sparsebench.seeds import generator

TEST_FRACTION = 1 / 3
"""Of a data set that comes without a split, as the papers split their micro-array sets."""


@dataclass(frozen=True, eq=False)
class Examples:
    """A part of the data, read batch by batch.

    targets     int64 labels (n,) or float32 (n, K); None: the inputs themselves
    rows        of `samples`, those that belong to the part; None: all
    corruption  of the inputs, in training
    """

    samples: Samples
    targets: Array | None
    rows: Rows | None = None
    corruption: Corruption | None = None

    @property
    def features(self) -> int:
        return self.samples.features

    def __len__(self) -> int:
        return len(self.samples.targets) if self.rows is None else self.rows.size

    def batch(self, rows: Rows, epoch: int = 0) -> tuple[Any, Array]:
        """The inputs and the targets of these rows in this epoch.

        Inputs are (features, N), an array or a `CsrBatch`; targets labels (N,) or numbers (K, N).
        """
        chosen = rows if self.rows is None else self.rows[rows]
        X: Any = self.samples.batch(chosen)
        T: Array = X
        if self.targets is not None:
            T = self.targets[rows]
            if T.ndim == 2:
                T = np.ascontiguousarray(T.T)
        if self.corruption is not None:
            X = self.corruption.corrupted(X, chosen, epoch)
        return X, T

    def scaled_rows(self) -> ScaledRows | None:
        """The rows of an array that these inputs are; None if each batch has to be made."""
        samples = self.samples
        if self.corruption is not None or not isinstance(samples, ArraySamples):
            return None
        return samples.scaled_rows()

    def rows_of(self, rows: Rows) -> Rows:
        """The rows of the array in `scaled_rows`, for rows of this part."""
        assert isinstance(self.samples, ArraySamples)
        return self.samples.rows[rows if self.rows is None else self.rows[rows]]

    def part(self, rows: Rows) -> Examples:
        """The examples of these rows, in this order."""
        return replace(
            self,
            targets=None if self.targets is None else self.targets[rows],
            rows=rows if self.rows is None else self.rows[rows],
        )


@dataclass(frozen=True, eq=False)
class TrialData:
    """The data of a trial. `fingerprint` is that of the data set as loaded; the last `noise`
    features are known to be noise."""

    train: Examples
    test: Examples
    validation: Examples | None
    targets: Targets
    inputs: Inputs
    fingerprint: str
    noise: int = 0

    @property
    def features(self) -> int:
        return self.inputs.features

    @property
    def outputs(self) -> int:
        return self.targets.outputs

    @property
    def csr(self) -> bool:
        """Whether batches are `CsrBatch`es."""
        return bool(getattr(self.train.samples, "csr", False))


def prepare(
    data: Parts | tuple[Samples, Samples, int],
    objective: Objective,
    *,
    seed: int,
    split_seed: int | None = None,
    fold: str | None = None,
    validation: float = 0.0,
    scaling: str = SCALINGS[0],
) -> TrialData:
    """Prepare what `Dataset.load` gave for a trial.

    Where there is no split, a third is the test part; class by class where the objective is
    `stratified`; with a `fold` such as "2/5" it is the second of five such parts. `validation` is
    the fraction of the training samples held out for selection. All are drawn from `split_seed`,
    else from `seed`. Inputs are scaled, and missing values filled in, by what the training samples
    that remain are like. Raises DataError.
    """
    if not 0 <= validation < 1:
        raise DataError(
            f"validation: {validation} is not a fraction of the training samples; "
            "expected a number from 0 to below 1"
        )
    root = seed if split_seed is None else split_seed
    changes = objective.corruption(seed) if isinstance(objective, CorruptsInputs) else None
    if isinstance(data, Parts):
        prepared = _from_arrays(data, objective, changes, root, fold, validation, scaling)
    elif scaling != SCALINGS[0]:
        raise DataError(
            f"scaling = {scaling!r}: this data set scales its samples itself, as it makes them one "
            "by one; leave scaling out"
        )
    elif fold is not None:
        raise DataError(f"fold = {fold!r}: this data set brings its own test part; leave fold out")
    else:
        prepared = _from_samples(*data, objective, changes, root, validation)
    if prepared.csr and (prepared.train.targets is None or changes is not None):
        source = data.source if isinstance(data, Parts) else "data"
        raise DataError(
            f"{source}: the objective needs all values of the inputs, as its targets or to change "
            "them, and these are stored as csr; give it arrays: X.toarray()"
        )
    return prepared


def _from_arrays(
    parts: Parts,
    objective: Objective,
    changes: Corruption | None,
    root: int,
    fold: str | None,
    validation: float,
    scaling: str,
) -> TrialData:
    parts = check_parts(parts)
    if objective.stratified:
        parts = replace(parts, y_train=labels_of(parts.y_train))
        if parts.y_test is not None:
            parts = replace(parts, y_test=labels_of(parts.y_test))
    y, y_test, source = parts.y_train, parts.y_test, parts.source
    for name, array in parts.arrays().items():
        if name.startswith("y"):
            objective.check(array, parts.kind, f"{source}: {name}")
    rows = np.arange(len(y), dtype=np.int64)
    X_test = parts.X_test
    if fold is not None and X_test is not None:
        raise DataError(f"{source} has a test part of its own; leave out fold = {fold!r}")
    if X_test is None or y_test is None:
        if fold is not None:
            rows, test_rows = _fold(y, objective, fold, root, source)
        else:
            rows, test_rows = _split(y, objective, TEST_FRACTION, root, source, "test part")
        X_test, y_test = parts.X_train, y[test_rows]
    else:
        test_rows = np.arange(len(y_test), dtype=np.int64)
    held = rows[:0]
    if validation > 0:
        kept, out = _split(y[rows], objective, validation, root, source, "validation part", 1)
        rows, held = rows[kept], rows[out]
    origin = array_fingerprint(parts.arrays())
    if parts.fill is not None:
        fill_missing(parts, rows)
    mean, scale = scaling_of(parts.X_train, rows, scaling, source)
    inputs = Inputs(parts.X_train.shape[1], mean, scale, parts.features, parts.image)
    targets = objective.fit(TargetData(y, rows, inputs, source=source))

    def examples(
        X: Any, rows: Rows, y: Array, part: str, changes: Corruption | None = None
    ) -> Examples:
        samples: Samples = (
            ArraySamples(X, rows, y, mean, scale, origin)
            if is_dense(X)
            else CsrSamples(X, rows, y, scale, origin)
        )
        return Examples(samples, targets.encode(y, f"{source}: {part}"), corruption=changes)

    return TrialData(
        train=examples(parts.X_train, rows, y[rows], "train part", changes),
        test=examples(X_test, test_rows, y_test, "test part"),
        validation=examples(parts.X_train, held, y[held], "train part") if held.size else None,
        targets=targets,
        inputs=inputs,
        fingerprint=origin,
        noise=parts.noise,
    )


def _from_samples(
    train: Samples,
    test: Samples,
    outputs: int,
    objective: Objective,
    changes: Corruption | None,
    root: int,
    validation: float,
) -> TrialData:
    for part, samples in (("train", train), ("test", test)):
        if len(samples.targets) == 0:
            raise DataError(f"data: the {part} part is empty; expected at least one sample")
        objective.check(samples.targets, None, f"data: the {part} part")
    if train.features != test.features:
        raise DataError(
            f"data: {train.features} features in the train part and {test.features} in the "
            "test part; expected the same number"
        )
    y, rows, held = train.targets, np.arange(len(train.targets), dtype=np.int64), None
    if validation > 0:
        rows, held = _split(y, objective, validation, root, "data", "validation part", 1)
    inputs = Inputs(train.features)
    targets = objective.fit(TargetData(y, rows, inputs, outputs))
    every = Examples(train, targets.encode(y, "data: the train part"))
    trained = Examples(train, every.targets, corruption=changes)
    marks = (train.fingerprint(), test.fingerprint(), str(outputs))
    return TrialData(
        train=trained if held is None else trained.part(rows),
        test=Examples(test, targets.encode(test.targets, "data: the test part")),
        validation=every.part(held) if held is not None else None,
        targets=targets,
        inputs=inputs,
        fingerprint=hashlib.blake2b("|".join(marks).encode(), digest_size=16).hexdigest(),
    )


def stratified_split(y: Labels, fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows kept and rows held out, both ascending, each class in proportion.

    round(fraction n) rows are held out where that is possible: of every class with two
    samples at least one is on each side, and a class with one sample is kept. What rounding leaves
    goes to the classes with the largest remainders first.
    """
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes, minlength=classes.size)
    exact = fraction * counts
    upper = np.minimum(np.ceil(exact).astype(np.int64).clip(min=1), counts - 1)
    quotas = np.minimum(np.floor(exact).astype(np.int64).clip(min=1), upper)
    short = round(fraction * int(counts.sum())) - int(quotas.sum())
    for code in np.argsort(quotas - exact, kind="stable"):
        if short > 0 and quotas[code] < upper[code]:
            quotas[code] += 1
            short -= 1
    held = np.zeros(y.size, dtype=bool)
    for code, quota in enumerate(quotas):
        held[rng.permutation(np.flatnonzero(codes == code))[:quota]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _split(
    y: Array, objective: Objective, fraction: float, root: int, source: str, part: str, *index: int
) -> tuple[Rows, Rows]:
    """Class by class where the objective is stratified; all samples alike where it is not."""
    strata: Array = y if objective.stratified else np.zeros(len(y), dtype=np.int8)
    kept, held = stratified_split(strata, fraction, generator(root, "split", *index))
    if held.size == 0:
        raise DataError(
            f"{source}: no {part} can be split off, every class has a single sample; expected "
            "classes with two samples or more: is this the right label column?"
        )
    return kept, held


def folds_of(y: Labels, folds: int, rng: np.random.Generator) -> Rows:
    """The fold (n,) of each sample, from 0; -1 for the only sample of a class, which always trains.

    Samples are dealt out class by class, so that no two folds differ by more than one sample, in
    all and of each class. O(n log n).
    """
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(y.size)
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    dealt = by_class[counts[codes[by_class]] > 1]
    found = np.full(y.size, -1, dtype=np.int64)
    found[dealt] = np.arange(dealt.size) % folds
    return found


def _fold(y: Array, objective: Objective, fold: str, root: int, source: str) -> tuple[Rows, Rows]:
    """Rows of the other folds and rows of this one, class by class as in `_split`."""
    number, folds = fold_of(fold)
    strata: Array = y if objective.stratified else np.zeros(len(y), dtype=np.int8)
    found = folds_of(strata, folds, generator(root, "split", 2, folds))
    if found.max(initial=-1) < folds - 1:
        raise DataError(
            f"{source}: {int((found >= 0).sum())} samples of classes with two samples or more; "
            f"expected at least {folds} for fold = {fold!r}"
        )
    return np.flatnonzero(found != number - 1), np.flatnonzero(found == number - 1)


def fill_missing(parts: Parts, rows: Rows) -> None:
    """Replace nan in X, test samples too, by the mean or median of each feature over `rows`, or by
    0 where none of these has a value. Changes the arrays in place."""
    every = [X for X in (parts.X_train, parts.X_test) if X is not None]
    gaps = np.zeros(parts.X_train.shape[1], dtype=bool)
    for X in every:
        for block in blocks(X):
            gaps |= np.isnan(block).any(axis=0)
    for column in np.flatnonzero(gaps):
        known = parts.X_train[rows, column]
        known = known[~np.isnan(known)]
        value = 0.0
        if known.size:
            value = float(known.mean() if parts.fill == "mean" else np.median(known))
        for X in every:
            X[np.isnan(X[:, column]), column] = value


# --- checks that hold for every objective ---------------------------------------------


def check_parts(parts: Parts) -> Parts:
    """The parts, checked before anything is computed from them, and csr with the features of each
    sample in order. Raises DataError, in one line."""
    source, arrays = parts.source, parts.arrays()
    if (parts.X_test is None) != (parts.y_test is None):
        absent = "X_test" if parts.X_test is None else "y_test"
        raise DataError(f"{source}: {absent} is missing; expected both X_test and y_test, or none")
    for name, array in arrays.items():
        if name.startswith("X"):
            arrays[name] = check_features(array, f"{source}: {name}", parts.fill is not None)
            y, samples = arrays["y" + name[1:]], array.shape[0]
            if y.ndim < 1 or len(y) != samples:
                raise DataError(
                    f"{source}: y{name[1:]} has {len(y) if y.ndim else 'no'} rows for {samples} "
                    "samples; expected one each"
                )
    if parts.X_test is not None and parts.X_test.shape[1] != parts.X_train.shape[1]:
        raise DataError(
            f"{source}: X_test has {parts.X_test.shape[1]} features and X_train "
            f"{parts.X_train.shape[1]}; expected the same number"
        )
    if parts.X_test is None:
        return replace(parts, X_train=arrays["X"])
    if is_dense(parts.X_test) != is_dense(parts.X_train):
        raise DataError(f"{source}: one of X_train and X_test is csr; expected both, or none")
    return replace(parts, X_train=arrays["X_train"], X_test=arrays["X_test"])


def labels_of(y: Array) -> Array:
    """Labels (n,) of a column (n, 1), and of one-hot labels (n, classes); all else as it is."""
    if y.ndim != 2:
        return y
    if y.shape[1] == 1:
        return y[:, 0]
    if y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        labels: Array = y.argmax(axis=1)
        return labels
    return y


def check_features(X: Any, where: str, may_miss: bool = False) -> Any:
    """X, with the features of each sample in order where it is csr. Raises DataError unless it
    is (samples, features) of finite numbers, or of numbers that `may_miss`: be nan."""
    if X.ndim != 2:
        raise DataError(f"{where} has shape {X.shape}; expected two axes, (samples, features)")
    if X.dtype.kind not in "biuf":
        raise DataError(f"{where} has dtype {X.dtype}; expected numbers: encode the others first")
    if 0 in X.shape:
        raise DataError(f"{where} is empty, shape {X.shape}; expected a sample and a feature")
    if not is_dense(X):
        return checked_csr(X, where)
    if X.dtype.kind != "f":
        return X
    start = 0
    for block in blocks(X):
        bad = np.isinf(block) if may_miss else ~np.isfinite(block)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"{where} has {block[row, column]} at row {start + row}, column {column} "
                "(from 0); expected finite numbers: fill in or remove such samples first"
            )
        start += len(block)
    return X
