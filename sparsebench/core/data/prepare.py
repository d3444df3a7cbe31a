"""Splits, checks and scales loaded data for a trial, which trains on the `Examples` made here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Rows
from sparsebench.core.data.checks import check_parts, labels_of
from sparsebench.core.data.csr_data import is_dense
from sparsebench.core.data.feature_scaling import blocks, scaling_of
from sparsebench.core.data.samples import (
    ArraySamples,
    CsrSamples,
    Inputs,
    Parts,
    RowSource,
    Samples,
    TargetData,
    array_fingerprint,
)
from sparsebench.core.data.splits import fold_rows, split_rows
from sparsebench.core.protocols import Corruption, CorruptsInputs, Objective, Targets
from sparsebench.core.trial import SCALINGS
from sparsebench.errors import DataError

TEST_FRACTION = 1 / 3
"""The test part's share of a data set that comes without a split, as in the micro-array experiments
of Liu et al. (2021), arXiv 1901.09181."""


@dataclass(frozen=True, eq=False)
class Examples:
    """A part of the data (train, validation or test), read batch by batch.

    targets     int64 labels (n,) or float32 (n, K); None: the inputs are the targets
    rows        the rows of `samples` that belong to this part; None: all
    corruption  changes the inputs in training; None: nothing does
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

    def scaled_rows(self) -> RowSource | None:
        """The array or csr matrix whose scaled rows are these inputs; None if each batch has to be
        computed."""
        samples = self.samples
        if self.corruption is not None or not isinstance(samples, ArraySamples | CsrSamples):
            return None
        return samples.scaled_rows()

    def rows_of(self, rows: Rows) -> Rows:
        """The row numbers in the array of `scaled_rows`, for row numbers of this part."""
        assert isinstance(self.samples, ArraySamples | CsrSamples)
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
    """The data of a trial. `fingerprint` identifies the data set as loaded; the last `noise`
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
    """Split, check and scale the data that `Dataset.load` returned.

    fold        "2/5": the second of five parts is the test part
    validation  the fraction of the training samples that is held out for selection

    If the data have no split and there is no `fold`, a third of the samples is the test part. If
    the objective is `stratified`, samples are held out class by class. Splits are drawn from
    `split_seed`, or from `seed` without one. The scaling, and the values that replace missing
    ones, are computed from the training samples without those held out. Raises DataError.
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
            rows, test_rows = fold_rows(y, objective, fold, root, source)
        else:
            rows, test_rows = split_rows(y, objective, TEST_FRACTION, root, source, "test part")
        X_test, y_test = parts.X_train, y[test_rows]
    else:
        test_rows = np.arange(len(y_test), dtype=np.int64)
    held = rows[:0]
    if validation > 0:
        kept, out = split_rows(y[rows], objective, validation, root, source, "validation part", 1)
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
        rows, held = split_rows(y, objective, validation, root, "data", "validation part", 1)
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


def fill_missing(parts: Parts, rows: Rows) -> None:
    """Replace each nan in X, in the test samples too, by the mean or median of its feature over
    `rows`, or by 0 if the feature has no value there. Changes the arrays in place."""
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
