"""Reads the csv files that ship with scikit-learn, without importing it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sparsebench.core.data.checksums import file_sha256
from sparsebench.core.sizes import DataSize
from sparsebench.errors import MissingData
from sparsebench_plugins.datasets.params import whole

if TYPE_CHECKING:
    from sparsebench.core.data.samples import Parts


@dataclass(frozen=True)
class Embedded:
    """A csv file of scikit-learn with labels in the last column, and without a test part."""

    file: ClassVar[str]
    header_lines: ClassVar[int] = 1
    known: ClassVar[tuple[int, int, int]]
    """The numbers of samples, features and classes."""

    def path(self, file: str = "") -> Path:
        spec = importlib.util.find_spec("sklearn")
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            path = Path(folder, "datasets", "data", file or self.file)
            if path.is_file():
                return path
        raise MissingData(
            f"{file or self.file} of scikit-learn is not there",
            "pip install --force-reinstall scikit-learn",
        )

    def size(self) -> DataSize:
        return whole(*self.known)

    def identity(self) -> Mapping[str, Any]:
        return {"sha256": file_sha256(self.path())}

    def load(self) -> Parts:
        import numpy as np

        from sparsebench.core.data.samples import Parts

        path = self.path()
        table = np.loadtxt(path, delimiter=",", skiprows=self.header_lines)
        X, y = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int64)
        return Parts(X, y, source=str(path), kind="labels")


@dataclass(frozen=True)
class Digits(Embedded):
    """8 x 8 images of handwritten digits; Alpaydin and Kaynak (1998), UCI repository."""

    file = "digits.csv.gz"
    known = (1797, 64, 10)
    header_lines = 0

    def load(self) -> Parts:
        from sparsebench.core.data.samples import ImageShape

        return replace(super().load(), image=ImageShape(8, 8))


@dataclass(frozen=True)
class BreastCancer(Embedded):
    """Cell nuclei, malignant or benign; Wolberg, Street and Mangasarian (1995), UCI repository."""

    file = "breast_cancer.csv"
    known = (569, 30, 2)


@dataclass(frozen=True)
class Wine(Embedded):
    """Chemical analyses of wines of three growers; Aeberhard and Forina (1991), UCI repository."""

    file = "wine_data.csv"
    known = (178, 13, 3)


@dataclass(frozen=True)
class Diabetes(Embedded):
    """Ten measurements of patients; the target is the progression of the disease a year later, from
    25 to 346. Efron, Hastie, Johnstone and Tibshirani (2004). The targets are in a separate
    file."""

    file = "diabetes_data_raw.csv.gz"
    target_file: ClassVar[str] = "diabetes_target.csv.gz"
    known = (442, 10, 1)

    def identity(self) -> Mapping[str, Any]:
        return {**super().identity(), "target_sha256": file_sha256(self.path(self.target_file))}

    def load(self) -> Parts:
        import numpy as np

        from sparsebench.core.data.samples import Parts

        path = self.path()
        X = np.loadtxt(path).astype(np.float32)
        y = np.loadtxt(self.path(self.target_file))
        return Parts(X, y, source=str(path), kind="numbers")
