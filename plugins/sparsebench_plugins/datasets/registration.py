"""Names of the data sets. Free of heavy imports, as are the classes that stand here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sparsebench.core.data.catalogue import MANIFEST, NAME, Listing, read_manifest
from sparsebench.core.sizes import DataSize
from sparsebench.errors import DataError
from sparsebench.hookspecs import Register
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
        """The size by the entry's shapes and `classes`; None if one is missing."""
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


_HERE = "sparsebench_plugins.datasets"


@dataclass(frozen=True)
class BuiltIn:
    """A built-in data set; target and params are "module:Class" in this package."""

    target: str
    summary: str
    params: str | None = None
    requires: tuple[str, ...] = ()


BUILT_IN = {
    "digits": BuiltIn(
        "embedded:Digits", "1797 x 64, 10 classes: handwritten digits", requires=("sklearn",)
    ),
    "breast-cancer": BuiltIn(
        "embedded:BreastCancer", "569 x 30, 2 classes: cell nuclei", requires=("sklearn",)
    ),
    "wine": BuiltIn(
        "embedded:Wine", "178 x 13, 3 classes: chemical analyses", requires=("sklearn",)
    ),
    "diabetes": BuiltIn(
        "embedded:Diabetes",
        "442 x 10, a number each: progress of a disease, for regression",
        requires=("sklearn",),
    ),
    "friedman": BuiltIn(
        "synthetic:Friedman",
        "3000 x 20, a number each: generated with known noise, for regression",
        params="params:FriedmanParams",
    ),
    "madelon-like": BuiltIn(
        "synthetic:MadelonLike",
        "2600 x 500, 2 classes: generated, 480 of the features are noise",
        params="params:MadelonLikeParams",
        requires=("sklearn",),
    ),
    "microarray-like": BuiltIn(
        "synthetic:MicroarrayLike",
        "2096 x 54675, 18 classes: generated, few samples of many features",
        params="params:MicroarrayLikeParams",
    ),
    "extreme": BuiltIn(
        "synthetic:Extreme",
        "10000 x 65536, 2 classes: generated batch by batch, never held whole",
        params="params:ExtremeParams",
    ),
    "file": BuiltIn("file:File", "a file of your own, npz or csv", params="params:FileParams"),
}


def register_all(register: Register, data_dir: Path) -> None:
    """The built-in sets, and every named entry of data_dir/data.json.

    An unusable entry is registered too, and says why when it is used. So is an entry with a
    built-in's name, in the place of both: which one is meant cannot be told. A data.json that
    is no JSON list is a DataError, raised once the built-in sets are registered.
    """
    listings: list[Listing] = []
    failure: DataError | None = None
    try:
        listings = read_manifest(data_dir)
    except DataError as error:
        failure = error
    listed = {listing.name: listing for listing in listings if NAME.fullmatch(listing.name)}
    for name, built_in in BUILT_IN.items():
        if name not in listed:
            _register_built_in(register, name, built_in)
    for name, listing in listed.items():
        _register_listed(register, _ambiguous(listing) if name in BUILT_IN else listing)
    if failure is not None:
        raise failure


def _register_built_in(register: Register, name: str, built_in: BuiltIn) -> None:
    register(
        name,
        f"{_HERE}.{built_in.target}",
        params=f"{_HERE}.{built_in.params}" if built_in.params is not None else None,
        requires=built_in.requires,
        summary=built_in.summary,
    )


def _register_listed(register: Register, listing: Listing) -> None:
    cls = make_dataclass(
        f"Listed_{listing.name}",
        [],
        bases=(Listed,),
        namespace={"listing": listing, "__module__": Listed.__module__},
        frozen=True,
    )
    register(listing.name, cls, summary=_summary(listing))


def _ambiguous(listing: Listing) -> Listing:
    return replace(
        listing,
        problem=f"{listing.manifest}: ({listing.name}): a built-in data set has this name, so "
        "which one is meant cannot be told; rename the entry",
    )


def _summary(listing: Listing) -> str:
    """Samples x features, from shapes; a manifest's other facts may be missing."""
    if listing.problem is not None:
        return f"unusable, see: sparsebench data list ({MANIFEST})"
    shapes = [shape for name, shape in listing.shapes.items() if name.startswith("X")]
    if not shapes or any(len(shape) != 2 for shape in shapes):
        return MANIFEST
    classes = listing.facts.get("classes")
    size = f"{sum(shape[0] for shape in shapes)} x {shapes[0][1]}"
    return f"{size}, {classes} classes" if isinstance(classes, int) else size
