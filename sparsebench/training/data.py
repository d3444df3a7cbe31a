"""From a data set's arrays to batches: checks, split, standardisation, fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class Samples(Protocol):
    """Samples that are read batch by batch."""

    features: int
    labels: Labels

    def batch(self, rows: npt.NDArray[np.int64]) -> Matrix:
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
