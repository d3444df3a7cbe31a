"""What a data set must do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

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
