"""A plugin with a component of each kind, for tests of suites and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from sparsebench.errors import MissingData
from sparsebench.hookspecs import Register, hookimpl
from sparsebench.registry import OfKind


@dataclass(frozen=True)
class Toy:
    """A data set that is there."""

    samples: int = 10

    def identity(self) -> dict[str, Any]:
        return {"checksum": f"{self.samples:x}"}


@dataclass(frozen=True)
class Gone:
    """A data set that is not there."""

    def identity(self) -> dict[str, Any]:
        raise MissingData("data set 'gone' is not there", "sparsebench data fetch gone")


@dataclass(frozen=True)
class Relu:
    """max(0, z)"""


@dataclass(frozen=True)
class Leaky:
    alpha: float = 0.1


@dataclass(frozen=True)
class Mlp:
    """Layers one after the other."""

    hidden: list[int]
    activation: Annotated[Any, OfKind("activation")] = "leaky"
    dropout: float = 0.0


@dataclass(frozen=True)
class Dense:
    """Every connection."""


@dataclass(frozen=True)
class Set:
    """Sparse Evolutionary Training."""

    epsilon: float = 20.0
    zeta: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.zeta < 1:
            raise ValueError(f"zeta must lie in [0, 1), found {self.zeta}")


@dataclass(frozen=True)
class Importance:
    """Remove the least important neurons."""

    start: int = 200
    percentile: float = 10.0


@dataclass(frozen=True)
class Sgd:
    learning_rate: float = 0.01


@dataclass(frozen=True)
class Sequential:
    pass


@dataclass(frozen=True)
class Csr:
    pass


@hookimpl
def register_datasets(register: Register, data_dir: Path) -> None:
    register("toy", Toy)
    register("gone", Gone)


@hookimpl
def register_models(register: Register) -> None:
    register("mlp", Mlp)


@hookimpl
def register_activations(register: Register) -> None:
    register("leaky", Leaky)
    register("relu", Relu)


@hookimpl
def register_topologies(register: Register) -> None:
    register("dense", Dense)
    register("set", Set)


@hookimpl
def register_prunings(register: Register) -> None:
    register("importance", Importance)


@hookimpl
def register_optimizers(register: Register) -> None:
    register("sgd", Sgd)


@hookimpl
def register_trainers(register: Register) -> None:
    register("sequential", Sequential)


@hookimpl
def register_backends(register: Register) -> None:
    register("numba-csr", Csr)
    register("dense-mask", Csr)
    register("absent", Csr, requires=("no_such_module",), summary="needs what is not there")
