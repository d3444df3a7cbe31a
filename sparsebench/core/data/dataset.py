"""What a data set must do."""

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
        """Arrays with or without a split; or train samples, test samples, and how many outputs:
        classes of labels, else numbers of a sample's target."""

    def identity(self) -> Mapping[str, Any]:
        """What else than the parameters decides the data (a checksum); cheap, no arrays.

        Raises MissingData where the data is not there.
        """


@runtime_checkable
class Identified(Protocol):
    """A data set that is more than its parameters, such as a file: says what, as a checksum."""

    def identity(self) -> Mapping[str, Any]: ...


def require_same_data(dataset: object, trial: Trial) -> None:
    """Raises DataChanged if the data set has another identity than the trial was made with.

    To be called once the data are loaded: a file that was replaced before is found then.
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
