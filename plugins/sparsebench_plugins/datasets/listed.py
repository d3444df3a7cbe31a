"""The data sets that data.json lists, whatever their names. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sparsebench.core.data.catalogue import Listing
from sparsebench.core.sizes import DataSize
from sparsebench_plugins.datasets.params import whole

if TYPE_CHECKING:
    from sparsebench.core.data.samples import Parts

ITEMSIZES = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float16": 2, "float32": 4, "int32": 4}
"""Of the types that are made float32 batch by batch."""


@dataclass(frozen=True)
class Listed:
    """An entry of data.json; each gets a subclass of its own, without parameters."""

    listing: ClassVar[Listing]

    def identity(self) -> Mapping[str, Any]:
        """The listed checksum. Whether the file has it, `load` finds out."""
        self.listing.require()
        return {"sha256": self.listing.sha256}

    def size(self) -> DataSize | None:
        """From the entry's shapes, `classes` and `dtype`; None where it lacks one."""
        shapes, facts = self.listing.shapes, self.listing.facts
        classes, itemsize = facts.get("classes"), ITEMSIZES.get(str(facts.get("dtype")))
        train, test = shapes.get("X_train", shapes.get("X")), shapes.get("X_test")
        if type(classes) is not int or itemsize is None or train is None or len(train) != 2:
            return None
        if test is None:
            return replace(whole(*train, classes), itemsize=itemsize)
        return DataSize(train[1], classes, train[0], test[0], itemsize)

    def load(self) -> Parts:
        from sparsebench_plugins.datasets.npz import parts_of, read_npz

        path = self.listing.verify()
        return parts_of(read_npz(path, self.listing.shapes), str(path))
