"""Registers the data sets by name: the built-in ones and those of data.json. Free of heavy
imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Interval

from sparsebench.core.data.catalogue import MANIFEST, NAME, Listing, read_manifest
from sparsebench.core.sizes import DataSize
from sparsebench.errors import DataError
from sparsebench.hookspecs import Register
from sparsebench.registry import OmittedIfDefault
from sparsebench_plugins.datasets.params import whole
from sparsebench_plugins.graph_challenge.dataset import GraphChallenge

if TYPE_CHECKING:
    from sparsebench.core.data.samples import ImageShape, Parts


Samples = Annotated[Annotated[int, Interval(gt=0)] | None, OmittedIfDefault()]


@dataclass(frozen=True)
class Listed:
    """A data set that is listed in data.json. Each entry gets its own subclass.

    train  number of training samples to use, the first ones; none: all
    test   number of test samples to use, the first ones; none: all
    order  seed of a shuffle of both parts before these samples are taken, by numpy's RandomState as
           in the released codes of SET; none: not shuffled
    permuted  number of copies of random features, each permuted over the samples, that are added as
              known noise
    """

    listing: ClassVar[Listing]

    train: Samples = None
    test: Samples = None
    order: Annotated[Annotated[int, Interval(ge=0, lt=2**32)] | None, OmittedIfDefault()] = None
    permuted: Annotated[int, Interval(ge=0), OmittedIfDefault()] = 0

    def identity(self) -> Mapping[str, Any]:
        """The checksum in data.json; `load` verifies that the file has it. Raises an error if the
        entry is unusable."""
        self.listing.require()
        return {"sha256": self.listing.sha256}

    def size(self) -> DataSize | None:
        """The size according to the entry's `shapes` and `classes`; None if one is missing."""
        shapes, classes = self.listing.shapes, self.listing.facts.get("classes")
        stored = _stored(self.listing)
        train, test = shapes.get("X_train", shapes.get("X")), shapes.get("X_test")
        if type(classes) is not int or train is None or len(train) != 2:
            return None
        samples, features = train[0], train[1] + self.permuted
        if stored is not None:
            stored = stored * features // max(1, train[1])
        if test is None:
            size = whole(samples, features, classes)
            share = None if stored is None else stored * size.train // max(1, samples)
            return replace(size, stored=share)
        used, tested = min(self.train or samples, samples), min(self.test or test[0], test[0])
        share = None if stored is None else stored * used // max(1, samples)
        return DataSize(features, classes, used, tested, stored=share)

    def load(self) -> Parts:
        from sparsebench_plugins.datasets.npz_reader import parts_of, read_npz

        path = self.listing.verify()
        parts = parts_of(read_npz(path, self.listing.shapes), str(path))
        parts = replace(parts, image=_image(self.listing, int(parts.X_train.shape[-1])))
        if not (self.train is self.test is self.order is None):
            parts = self._chosen(parts)
        if not self.permuted:
            return parts
        from sparsebench_plugins.datasets.permuted_copies import with_permuted_copies

        return with_permuted_copies(parts, self.permuted)

    def _chosen(self, parts: Parts) -> Parts:
        import numpy as np

        if parts.y_test is None:
            raise DataError(
                f"{parts.source} has no test part of its own, so train, test and order say "
                "nothing about it; leave them out"
            )
        draw = None if self.order is None else np.random.RandomState(self.order)
        rows = []
        for y, count in ((parts.y_train, self.train), (parts.y_test, self.test)):
            if count is not None and count > len(y):
                raise DataError(f"{parts.source} has {len(y)} samples in a part; found {count}")
            order = np.arange(len(y))
            if draw is not None:
                draw.shuffle(order)
            rows.append(order[:count])
        train, test = rows
        return replace(
            parts, X_train=parts.X_train[train], y_train=parts.y_train[train],
            X_test=parts.X_test[test], y_test=parts.y_test[test],
        )  # fmt: skip


def _image(listing: Listing, features: int) -> ImageShape | None:
    """The entry's `image`, with h, w, c and order, if it fits."""
    from sparsebench.core.data.samples import ImageShape

    stated = listing.facts.get("image")
    if not isinstance(stated, dict) or not all(type(stated.get(name)) is int for name in "hwc"):
        return None
    height, width, channels = (int(stated[name]) for name in "hwc")
    if min(height, width, channels) < 1 or height * width * channels != features:
        return None
    by_column = str(stated.get("order", "C")).startswith("F")
    return ImageShape(height, width, channels, "F" if by_column else "C")


def _stored(listing: Listing) -> int | None:
    """The number of stored values of the training part if the entry says that it is csr: 0 if the
    number is not given, None if the part is an array."""
    if listing.facts.get("storage") != "csr":
        return None
    counts = listing.facts.get("nonzeros")
    known = counts if isinstance(counts, dict) else {}
    count = known.get("X_train", known.get("X"))
    return count if type(count) is int and count >= 0 else 0


HERE = "sparsebench_plugins.datasets."

BUILT_IN = {
    "digits": ("sklearn_csv:Digits", None, "1797 x 64, 10 classes: handwritten digits"),
    "breast-cancer": ("sklearn_csv:BreastCancer", None, "569 x 30, 2 classes: cell nuclei"),
    "wine": ("sklearn_csv:Wine", None, "178 x 13, 3 classes: chemical analyses"),
    "diabetes": ("sklearn_csv:Diabetes", None,
                 "442 x 10, a number each: progress of a disease, for regression"),
    "friedman": ("synthetic:Friedman", "FriedmanParams",
                 "3000 x 20, a number each: generated with known noise, for regression"),
    "madelon-like": ("synthetic:MadelonLike", "MadelonLikeParams",
                     "2600 x 500, 2 classes: generated, 480 of the features are noise"),
    "microarray-like": ("synthetic:MicroarrayLike", "MicroarrayLikeParams",
                        "2096 x 54675, 18 classes: generated, few samples of many features"),
    "extreme": ("synthetic:Extreme", "ExtremeParams",
                "10000 x 65536, 2 classes: generated batch by batch, never held whole"),
    "shapes": ("shape_images:Shapes", "ShapesParams",
               "500 images 32 x 32, a label a pixel: generated, one filled shape each"),
    "file": ("file:File", "FileParams",
             "a file of your own: csv, npz, npy, svmlight, mtx, mat, h5ad, parquet"),
}  # fmt: skip
"""Name -> "module:Class"; its parameter class, if that is a separate class; and a summary."""

GRAPH_CHALLENGE = "graph-challenge"

NEED_SKLEARN = ("digits", "breast-cancer", "wine", "diabetes", "madelon-like")


def register_all(register: Register, data_dir: Path) -> None:
    """Register the built-in sets, and every named entry of data_dir/data.json.

    An unusable entry is registered too, and raises its problem when it is used. If an entry has the
    name of a built-in set, the name is ambiguous and raises an error when used. If data.json is no
    JSON list, DataError is raised after the built-in sets are registered.
    """
    listings: list[Listing] = []
    failure: DataError | None = None
    try:
        listings = read_manifest(data_dir)
    except DataError as error:
        failure = error
    listed = {listing.name: listing for listing in listings if NAME.fullmatch(listing.name)}
    for name, (target, params, summary) in BUILT_IN.items():
        if name not in listed:
            register(
                name,
                HERE + target,
                params=f"{HERE}params:{params}" if params is not None else None,
                requires=("sklearn",) if name in NEED_SKLEARN else (),
                summary=summary,
            )
    if GRAPH_CHALLENGE not in listed:
        namespace = {"folder": data_dir, "__module__": GraphChallenge.__module__}
        found = make_dataclass(
            "InFolder", [], bases=(GraphChallenge,), namespace=namespace, frozen=True
        )
        register(
            GRAPH_CHALLENGE, found, summary="1200 x 1024: images of ones and zeros, for inference"
        )
    for name, listing in listed.items():
        if name in (*BUILT_IN, GRAPH_CHALLENGE):
            listing = replace(
                listing,
                problem=f"{listing.manifest}: ({name}): a built-in data set has this name, so "
                "it is ambiguous; rename the entry",
            )
        namespace = {"listing": listing, "__module__": Listed.__module__}
        cls = make_dataclass(
            f"Listed_{name}", [], bases=(Listed,), namespace=namespace, frozen=True
        )
        register(name, cls, summary=_summary(listing))
    if failure is not None:
        raise failure


def _summary(listing: Listing) -> str:
    """A summary with samples x features from the shapes, and further facts if the entry has
    them."""
    if listing.problem is not None:
        return f"unusable, see: sparsebench data list ({MANIFEST})"
    shapes = [shape for name, shape in listing.shapes.items() if name.startswith("X")]
    if not shapes or any(len(shape) != 2 for shape in shapes):
        return MANIFEST
    classes = listing.facts.get("classes")
    size = f"{sum(shape[0] for shape in shapes)} x {shapes[0][1]}"
    if _stored(listing) is not None:
        size += " as csr"
    return f"{size}, {classes} classes" if isinstance(classes, int) else size
