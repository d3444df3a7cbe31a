"""Layers of a backend to be timed, and what they took: data of a job, and of its answer. Light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Ladder:
    """Layers to be timed: `works` are the connections that a step looks at in each.

    per_neuron  connections by neuron of both sides, as in the suite
    """

    batch: int
    works: tuple[int, ...]
    per_neuron: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ladder:
        return cls(int(data["batch"]), tuple(data["works"]), float(data["per_neuron"]))


@dataclass(frozen=True)
class Point:
    """Seconds for a square layer.

    forward, backward, backward_first  of a step; the last without a gradient further down
    unit     of the activation behind it, there and back
    begin    of the first step, above any other
    update   of an update of its topology
    """

    work: int
    neurons: int
    forward: float
    backward: float
    backward_first: float
    unit: float
    begin: float
    update: float

    @property
    def step(self) -> float:
        return self.forward + self.backward
