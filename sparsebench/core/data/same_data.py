"""Whether the data that a process loaded are those that its trial names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from sparsebench.core.trial import Trial, canonical
from sparsebench.errors import DataChanged


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
