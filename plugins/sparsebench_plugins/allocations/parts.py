"""How many connections each layer gets at the start. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sparsebench.core.sizes import Shape
from sparsebench.core.sparse import allocation

DEFAULT_EPSILON = 20.0


@dataclass(frozen=True)
class ErdosRenyi:
    """floor(epsilon (K + D)) in each layer; epsilon 20 unless the method says otherwise."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        if density is not None:
            raise ValueError("allocation 'er' takes epsilon; with density use 'erk' or 'uniform'")
        return allocation.erdos_renyi(shapes, DEFAULT_EPSILON if epsilon is None else epsilon)


@dataclass(frozen=True)
class ErdosRenyiKernel:
    """A density of the whole network, in proportion to (K + D) / (K D), no layer above 1."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        return allocation.erdos_renyi_kernel(shapes, _required(density, "erk"))


@dataclass(frozen=True)
class Uniform:
    """The same density in each layer."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        return allocation.uniform(shapes, _required(density, "uniform"))


@dataclass(frozen=True)
class Explicit:
    """densities  of the layers, in order; instead of the method's density or epsilon"""

    densities: tuple[Annotated[float, Field(gt=0, le=1)], ...]

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        if density is not None or epsilon is not None:
            raise ValueError("allocation 'explicit' takes neither density nor epsilon")
        if len(self.densities) != len(shapes):
            raise ValueError(
                f"allocation.densities: {len(self.densities)} densities for {len(shapes)} layers"
            )
        return [
            max(1, round(density * K * D))
            for density, (K, D) in zip(self.densities, shapes, strict=True)
        ]


def _required(density: float | None, name: str) -> float:
    if density is None:
        raise ValueError(f"allocation {name!r} needs a density")
    return density
