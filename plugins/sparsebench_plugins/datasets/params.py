"""Parameters of the generated sets and of `file`. Free of heavy imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval, MinLen

from sparsebench.core.data.checksums import file_sha256
from sparsebench.core.sizes import DataSize
from sparsebench.errors import DataError
from sparsebench.registry import Location, OmittedIfDefault
from sparsebench_plugins.datasets.target_check import require_target

TEST_FRACTION = 1 / 3
"""Share of the samples that become the test part of a set without a split of its own. The same as
in sparsebench/core/data/prepare.py, which is not imported because it imports numpy."""

Count = Annotated[int, Interval(gt=0)]
Seed = Annotated[int, Interval(ge=0)]


def whole(samples: int, features: int, targets: int) -> DataSize:
    """The size of a data set without a split of its own."""
    test = round(TEST_FRACTION * samples)
    return DataSize(features, targets, samples - test, test)


@dataclass(frozen=True)
class Generated:
    """Data generated from a seed. `recipe` is a number that is increased when the same parameters
    generate other data."""

    recipe: ClassVar[int] = 1

    def identity(self) -> Mapping[str, Any]:
        return {"recipe": self.recipe}


@dataclass(frozen=True)
class MadelonLikeParams(Generated):
    """train  training samples
    test   test samples
    seed   seed of the data, not of the trial
    """

    train: Annotated[int, Interval(ge=2)] = 2000
    test: Annotated[int, Interval(ge=1)] = 600
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0

    def size(self) -> DataSize:
        return DataSize(500, 2, self.train, self.test)


@dataclass(frozen=True)
class MicroarrayLikeParams(Generated):
    """samples      training and test samples together
    features     features of a sample
    informative  features whose mean depends on the class
    classes      number of classes
    separation   standard deviation of the class means, in units of the noise's
    seed         seed of the data, not of the trial
    """

    samples: Annotated[int, Interval(ge=4)] = 2096
    features: Count = 54675
    informative: Count = 500
    classes: Annotated[int, Interval(ge=2)] = 18
    separation: Annotated[float, Interval(ge=0)] = 1.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        _check_informative(self.informative, self.features)
        if self.samples < 2 * self.classes:
            raise ValueError(f"samples must be at least 2 per class, {2 * self.classes}")

    def size(self) -> DataSize:
        return whole(self.samples, self.features, self.classes)


@dataclass(frozen=True)
class ExtremeParams(Generated):
    """features     features of a sample
    train        training samples
    test         test samples
    informative  features whose mean depends on the class
    classes      number of classes
    separation   standard deviation of the class means, in units of the noise's
    seed         seed of the data, not of the trial
    """

    features: Count = 65536
    train: Annotated[int, Interval(ge=2)] = 7000
    test: Annotated[int, Interval(ge=1)] = 3000
    informative: Count = 64
    classes: Annotated[int, Interval(ge=2)] = 2
    separation: Annotated[float, Interval(ge=0)] = 1.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        _check_informative(self.informative, self.features)
        if self.train < self.classes:
            raise ValueError(f"train must be at least 1 per class, {self.classes}")

    def size(self) -> DataSize:
        return DataSize(self.features, self.classes, self.train, self.test)


@dataclass(frozen=True)
class FriedmanParams(Generated):
    """train     training samples
    test      test samples
    features  features of a sample
    noise     standard deviation of the noise on the targets, the least error of any model
    targets   numbers per sample, each a function of five features of its own
    seed      seed of the data, not of the trial
    """

    train: Annotated[int, Interval(ge=2)] = 2000
    test: Annotated[int, Interval(ge=1)] = 1000
    features: Annotated[int, Interval(ge=5)] = 20
    noise: Annotated[float, Interval(ge=0)] = 1.0
    targets: Annotated[int, Interval(ge=1)] = 1
    seed: Seed = 0

    def __post_init__(self) -> None:
        if 5 * self.targets > self.features:
            raise ValueError(f"features must be at least 5 per target, {5 * self.targets}")

    def size(self) -> DataSize:
        return DataSize(self.features, self.targets, self.train, self.test)


@dataclass(frozen=True)
class ShapesParams(Generated):
    """train  training images
    test   test images
    side   pixels of an edge
    noise  standard deviation of the noise, as a share of the range of a channel
    seed   seed of the data, not of the trial
    """

    train: Annotated[int, Interval(ge=2)] = 400
    test: Annotated[int, Interval(ge=1)] = 100
    side: Annotated[int, Interval(ge=4)] = 32
    noise: Annotated[float, Interval(ge=0)] = 0.05
    seed: Seed = 0

    def size(self) -> DataSize:
        pixels = self.side * self.side
        return DataSize(3 * pixels, pixels, self.train, self.test)


def _check_informative(informative: int, features: int) -> None:
    if informative > features:
        raise ValueError(f"informative must be at most features, {features}")


Column = Annotated[str, MinLen(1)] | int


@dataclass(frozen=True)
class FileParams:
    """path         npz, npy, csv, tsv, svmlight, mtx, arff, mat, parquet, h5ad or series matrix
    target       column or array of the targets, by name or position from 0; none: detected, with a
                 note
    label        name of the data set in tables; none: the file's name without its ending
    target_file  file of the targets, in the same folder; none: `y.npy` for `X.npy`
    orientation  whether a row of the file is a sample, or a feature such as a gene
    missing      what is done with a missing value: error: the file is refused; mean, median, zero:
                 it is replaced by the feature's mean or median, or by 0; drop: the sample is
                 dropped
    leave_out    columns that are not features; none: row numbers and names of samples, with a note;
                 []: no column is left out
    header       whether the first row of a text has the names of the columns; none: detected, with
                 a note
    separator    separator of the columns of a text; none: detected
    decimal      decimal point of a text, "." or ","; none: detected
    """

    path: Annotated[str, MinLen(1), Location()]
    target: Column | None = None
    label: Annotated[str | None, Location()] = None
    target_file: Annotated[str | None, Location(), OmittedIfDefault()] = None
    orientation: Annotated[Literal["samples-in-rows", "features-in-rows"], OmittedIfDefault()] = (
        "samples-in-rows"
    )
    missing: Annotated[Literal["error", "mean", "median", "zero", "drop"], OmittedIfDefault()] = (
        "error"
    )
    leave_out: Annotated[tuple[Column, ...] | None, OmittedIfDefault()] = None
    header: Annotated[bool | None, OmittedIfDefault()] = None
    separator: Annotated[str | None, MinLen(1), OmittedIfDefault()] = None
    decimal: Annotated[Literal[".", ","] | None, OmittedIfDefault()] = None

    def file(self) -> Path:
        """The path of the file. Raises DataError if there is no such file."""
        path = Path(os.path.expanduser(self.path))
        if not path.is_file():
            raise DataError(f"{path.absolute()} is not a file; expected a data file at `path`")
        return path

    def targets_file(self) -> Path | None:
        """The path of the file of the targets; None if they are in the data file. Raises DataError
        if `target_file` does not exist."""
        path = self.file()
        if self.target_file is not None:
            found = path.parent / os.path.expanduser(self.target_file)
            if not found.is_file():
                raise DataError(
                    f"{found.absolute()} is not a file; expected the targets at `target_file`, "
                    "which is relative to the folder of `path`"
                )
            return found
        return next((one for one in _beside(path) if one.is_file()), None)

    def identity(self) -> Mapping[str, Any]:
        targets = self.targets_file()
        if isinstance(self.target, str) and targets is None:
            require_target(self.file(), self.target)
        found = {"sha256": file_sha256(self.file())}
        return found if targets is None else {**found, "targets": file_sha256(targets)}


ALONE = {
    ".npy": (".npy",),
    ".mtx": (".npy", ".txt", ".csv", ".tsv", ".labels"),
    ".data": (".labels",),
}
"""Endings of files that have only features -> possible endings of the files with their targets."""


def _beside(path: Path) -> Iterator[Path]:
    """Yield the possible paths of the targets, for a file that has only features."""
    packed = path.suffix.lower() == ".gz"
    plain = path.with_suffix("") if packed else path
    stem, suffix = plain.stem, plain.suffix.lower()
    for ending in ALONE.get(suffix, ()):
        if ending == ".labels":
            yield plain.with_suffix(ending)
        if suffix != ".data":
            if re.match("[Xx](?![a-z])", stem):
                for letter in "yY":
                    yield plain.with_name(letter + stem[1:] + ending)
            if stem.lower().endswith("_x"):
                yield plain.with_name(stem[:-1] + "y" + ending)
            for name in (f"{stem}_y", f"{stem}_labels", "labels"):
                yield plain.with_name(name + ending)
