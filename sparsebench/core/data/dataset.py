"""The protocol of data sets, and the check that a trial's data are still the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sparsebench.core.trial import Trial, canonical
from sparsebench.errors import DataChanged

if TYPE_CHECKING:
    from sparsebench.core.data.samples import Parts, Samples


@runtime_checkable
class Dataset(Protocol):
    """Features and targets. Loading happens in the trial's own process."""

    def load(self) -> Parts | tuple[Samples, Samples, int]:
        """Load the data: as arrays, with or without a split; or as train samples, test samples and
        the number of outputs (classes if targets are labels, else numbers per target)."""

    def identity(self) -> Mapping[str, Any]:
        """Everything besides the parameters that determines the data, such as a checksum. Reads no
        arrays. Raises MissingData if the data are not there."""


@runtime_checkable
class Identified(Protocol):
    """A data set whose content its parameters do not determine, such as a file."""

    def identity(self) -> Mapping[str, Any]: ...


def require_same_data(dataset: object, trial: Trial) -> None:
    """Raise DataChanged if the data set's identity differs from the one in the trial.

    Call this after loading, so that a file replaced in the meantime is noticed.
    """
    if not trial.data or not isinstance(dataset, Identified):
        return
    found = dict(dataset.identity())
    if canonical(found) != canonical(trial.data):
        keys = [key for key in {**trial.data, **found} if trial.data.get(key) != found.get(key)]
        then, now = (
            ", ".join(f"{key} {data.get(key, 'none')!s:.12}" for key in keys)
            for data in (trial.data, found)
        )
        raise DataChanged(
            f"data set {trial.dataset['name']!r} changed since the trial was planned: {then} then, "
            f"{now} now; run the suite again with the data that are meant"
        )
