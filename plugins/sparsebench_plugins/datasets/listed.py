"""The data sets that data.json lists, whatever their names. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sparsebench.catalogue import Listing

if TYPE_CHECKING:
    from sparsebench.training.data import Parts


@dataclass(frozen=True)
class Listed:
    """An entry of data.json; each gets a subclass of its own, without parameters."""

    listing: ClassVar[Listing]

    def identity(self) -> Mapping[str, Any]:
        """The listed checksum. Whether the file has it, `load` finds out."""
        self.listing.require()
        return {"sha256": self.listing.sha256}

    def load(self) -> Parts:
        from sparsebench_plugins.datasets.npz import parts_of, read_npz

        path = self.listing.verify()
        return parts_of(read_npz(path, self.listing.shapes), str(path))
