"""The data sets that data.json lists, whatever their names. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sparsebench.core.data.catalogue import Listing
from sparsebench.core.sizes import DataSize
from sparsebench_plugins.datasets.params import whole

if TYPE_CHECKING:
    from sparsebench.core.data.samples import Parts


@dataclass(frozen=True)
class Listed:
    """An entry of data.json; each gets a subclass of its own, without parameters."""

    listing: ClassVar[Listing]

    def identity(self) -> Mapping[str, Any]:
        """The listed checksum. Whether the file has it, `load` finds out."""
        self.listing.require()
        return {"sha256": self.listing.sha256}

    def size(self) -> DataSize | None:
        """From the entry's shapes and `classes`; None where it lacks one."""
        shapes, classes = self.listing.shapes, self.listing.facts.get("classes")
        train, test = shapes.get("X_train", shapes.get("X")), shapes.get("X_test")
        if type(classes) is not int or train is None or len(train) != 2:
            return None
        if test is None:
            return whole(*train, classes)
        return DataSize(train[1], classes, train[0], test[0])

    def load(self) -> Parts:
        from sparsebench_plugins.datasets.npz import parts_of, read_npz

        path = self.listing.verify()
        return parts_of(read_npz(path, self.listing.shapes), str(path))
