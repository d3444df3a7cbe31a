"""Splits, checks and scales loaded data for a trial."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Labels, Rows
from sparsebench.core.data.checks import check_parts
from sparsebench.core.data.examples import Examples, TrialData
from sparsebench.core.data.samples import (
    ArraySamples,
    Inputs,
    Parts,
    Samples,
    TargetData,
    array_fingerprint,
)
from sparsebench.core.data.scaling import scaling_of
from sparsebench.core.protocols import Corruption, CorruptsInputs, Objective
from sparsebench.core.trial import SCALINGS
from sparsebench.errors import DataError
from sparsebench.seeds import generator

TEST_FRACTION = 1 / 3
"""Of a data set that comes without a split, as the papers split their micro-array sets."""


def prepare(
    data: Parts | tuple[Samples, Samples, int],
    objective: Objective,
    *,
    seed: int,
    split_seed: int | None = None,
    validation: float = 0.0,
    scaling: str = SCALINGS[0],
) -> TrialData:
    """Prepare what `Dataset.load` gave for a trial.

    Where there is no split, a third is the test part; class by class where the objective is
    `stratified`. `validation` is the fraction of the training samples held out for selection.
    Both are drawn from `split_seed`, else from `seed`. Inputs are scaled by what the training
    samples that remain are like. Raises DataError.
    """
    if not 0 <= validation < 1:
        raise DataError(
            f"validation: {validation} is no fraction of the training samples; "
            "expected a number from 0 to below 1"
        )
    root = seed if split_seed is None else split_seed
    changes = objective.corruption(seed) if isinstance(objective, CorruptsInputs) else None
    if isinstance(data, Parts):
        return _from_arrays(data, objective, changes, root, validation, scaling)
    if scaling != SCALINGS[0]:
        raise DataError(
            f"scaling = {scaling!r}: this data set scales its samples itself, as it makes them one "
            "by one; leave scaling out"
        )
    return _from_samples(*data, objective, changes, root, validation)


def _from_arrays(
    parts: Parts,
    objective: Objective,
    changes: Corruption | None,
    root: int,
    validation: float,
    scaling: str,
) -> TrialData:
    check_parts(parts)
    y, y_test, source = parts.y_train, parts.y_test, parts.source
    for name, array in parts.arrays().items():
        if name.startswith("y"):
            objective.check(array, parts.kind, f"{source}: {name}")
    rows = np.arange(len(y), dtype=np.int64)
    X_test = parts.X_test
    if X_test is None or y_test is None:
        rows, test_rows = split(_strata(y, objective), TEST_FRACTION, root, source, "test part")
        X_test, y_test = parts.X_train, y[test_rows]
    else:
        test_rows = np.arange(len(y_test), dtype=np.int64)
    held = rows[:0]
    if validation > 0:
        strata = _strata(y[rows], objective)
        kept, out = split(strata, validation, root, source, "validation part", 1)
        rows, held = rows[kept], rows[out]
    mean, scale = scaling_of(parts.X_train, rows, scaling, source)
    inputs = Inputs(parts.X_train.shape[1], mean, scale)
    targets = objective.fit(TargetData(y, rows, inputs, source=source))
    origin = array_fingerprint(parts.arrays())

    def examples(
        X: Array, rows: Rows, y: Array, part: str, changes: Corruption | None = None
    ) -> Examples:
        samples = ArraySamples(X, rows, y, mean, scale, origin)
        return Examples(samples, targets.encode(y, f"{source}: {part}"), corruption=changes)

    return TrialData(
        train=examples(parts.X_train, rows, y[rows], "train part", changes),
        test=examples(X_test, test_rows, y_test, "test part"),
        validation=examples(parts.X_train, held, y[held], "train part") if held.size else None,
        targets=targets,
        inputs=inputs,
        fingerprint=origin,
    )


def _strata(y: Array, objective: Objective) -> Array:
    """The labels whose proportions a split keeps; all equal if the objective has no classes."""
    return y if objective.stratified else np.zeros(len(y), dtype=np.int8)


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
        rows, held = split(_strata(y, objective), validation, root, "data", "validation part", 1)
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


def split(
    y: Labels, fraction: float, root: int, source: str, part: str, *indices: int
) -> tuple[Rows, Rows]:
    kept, held = stratified_split(y, fraction, generator(root, "split", *indices))
    if held.size == 0:
        raise DataError(
            f"{source}: no {part} can be split off, every class has a single sample; expected "
            "classes with two samples or more: is this the right label column?"
        )
    return kept, held
