"""Allocations: the number of connections of each layer at the start. Free of heavy imports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from sparsebench.core.sizes import Shape


def erdos_renyi(shapes: Sequence[Shape], epsilon: float) -> list[int]:
    """floor(epsilon (K + D)) connections per layer, at most K D.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, eq. 1: p = epsilon (K + D) / (K D).
    Deviation: this is the exact number of connections, not their expected number.
    """
    return [min(K * D, math.floor(epsilon * (K + D))) for K, D in shapes]


def uniform(shapes: Sequence[Shape], density: float) -> list[int]:
    """round(density K D) connections in each layer, the first and the last included; at least 1."""
    return [max(1, round(density * K * D)) for K, D in shapes]


def erdos_renyi_kernel(shapes: Sequence[Shape], density: float) -> list[int]:
    """ERK: layer densities in proportion to (K + D) / (K D), at most 1, for a given global density.

    Evci et al. (2020), arXiv 1911.11134, section 3. Layer l gets
    d_l = eps (K_l + D_l) / (K_l D_l), with one eps such that sum_l d_l K_l D_l =
    density sum_l K_l D_l. Layers whose d_l would exceed 1 are made dense, and eps is solved again.
    A dense layer takes less than its share, so eps only rises, and all such layers can be made
    dense at once.
    """
    budget = density * sum(K * D for K, D in shapes)
    dense: set[int] = set()
    while len(dense) < len(shapes):
        rest = [layer for layer in range(len(shapes)) if layer not in dense]
        spent = sum(shapes[layer][0] * shapes[layer][1] for layer in dense)
        epsilon = (budget - spent) / sum(sum(shapes[layer]) for layer in rest)
        over = {layer for layer in rest if epsilon * sum(shapes[layer]) > math.prod(shapes[layer])}
        if not over:
            return [
                K * D if layer in dense else max(1, round(epsilon * (K + D)))
                for layer, (K, D) in enumerate(shapes)
            ]
        dense |= over
    return [K * D for K, D in shapes]


DEFAULT_EPSILON = 20.0


@dataclass(frozen=True)
class ErdosRenyi:
    """floor(epsilon (K + D)) connections in each layer; epsilon is 20 unless the method sets it."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        if density is not None:
            raise ValueError("allocation 'er' takes epsilon; with density use 'erk' or 'uniform'")
        return erdos_renyi(shapes, DEFAULT_EPSILON if epsilon is None else epsilon)


@dataclass(frozen=True)
class ErdosRenyiKernel:
    """A density of the whole network; layer densities are in proportion to (K + D) / (K D), at most
    1."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        return erdos_renyi_kernel(shapes, _required(density, "erk"))


@dataclass(frozen=True)
class Uniform:
    """The same density in each layer."""

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        return uniform(shapes, _required(density, "uniform"))


@dataclass(frozen=True)
class Explicit:
    """A given density for each layer.

    densities  densities of the layers, in order; they replace the method's density or epsilon
    """

    densities: tuple[Annotated[float, Interval(gt=0, le=1)], ...]

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
