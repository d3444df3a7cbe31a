"""The facts about a data file that a comparison needs, and checks that it can be compared at
all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.errors import DataError

if TYPE_CHECKING:
    from sparsebench.core.data.samples import Parts

LEAST_SAMPLES = 10
"""The least number of samples: with fewer, a test part would have one sample."""

MOST_NUMBERS, LEAST_EACH = 20, 10
"""Whole numbers as targets are learnt as numbers (regression), and not as classes, if there are
more than MOST_NUMBERS different ones, with fewer than LEAST_EACH samples each on average."""

MOST_CLASSES = 0.5
"""With more classes per sample than this, the target is not a class, but a name or a number."""


@dataclass(frozen=True)
class Facts:
    """Facts about a data file.

    samples, features  numbers for the training part, if the file has a test part
    classes    number of classes; 0 if the targets are numbers
    spread     standard deviation of the targets, if they are numbers
    has_test   whether the file has a test part
    csr        whether inputs are stored as csr
    missing    number of missing values
    notes      lines on how the file was read
    """

    samples: int
    features: int
    classes: int
    spread: float
    has_test: bool
    csr: bool
    missing: int
    notes: tuple[str, ...] = ()


def facts_of(parts: Parts) -> Facts:
    """The facts about loaded data. Raises DataError if the targets or samples allow no
    comparison."""
    import numpy as np

    from sparsebench.core.data.checks import check_parts, labels_of
    from sparsebench.core.data.csr_data import is_dense

    parts = check_parts(parts)
    y, source = labels_of(parts.y_train), parts.source
    samples, features = (int(n) for n in parts.X_train.shape)
    called = parts.target or "the target"
    if y.ndim != 1:
        raise DataError(f"{source}: {called} has {y.shape[1]} numbers a sample; expected one")
    if samples < LEAST_SAMPLES:
        raise DataError(f"{source} has {samples} samples; expected at least {LEAST_SAMPLES}")
    classes, spread, notes = 0, 0.0, list(parts.notes)
    known, counts = np.unique(y, return_counts=True)
    many = known.size > MOST_NUMBERS and samples < LEAST_EACH * known.size
    whole = y.dtype.kind != "f" or bool((np.isfinite(y) & (np.floor(y) == y)).all())
    if y.dtype.kind in "iuf" and (many or not whole):
        spread = float(np.std(y))
        if not spread > 0:
            raise DataError(f"{source}: {called} is {y[0]} in every sample; nothing can be learnt")
        if whole:
            notes.append(f"{known.size} different whole numbers are learnt as numbers, not classes")
    else:
        classes = int(known.size)
        if classes < 2:
            raise DataError(
                f"{source}: {called} has one class, {known[0]}, in all {samples} samples; expected "
                "at least two: is it the right column?"
            )
        if classes > MOST_CLASSES * samples or int((counts > 1).sum()) < 2:
            raise DataError(
                f"{source}: {called} has {classes} classes in {samples} samples; expected classes "
                "with several samples each: is it the right column?"
            )
    has_test, csr = parts.X_test is not None, not is_dense(parts.X_train)
    return Facts(samples, features, classes, spread, has_test, csr, parts.missing, tuple(notes))
