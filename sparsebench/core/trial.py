"""A trial: one network to be trained with one seed, as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

SPEC_FORMAT = 1

PARTS = ("dataset", "model", "topology", "optimizer", "trainer", "backend", "objective")
"""The components of a trial; a kind each."""

DEFAULT_OBJECTIVE = "classification"
"""Of a trial whose suite names none, and of records from before there were others."""

SCALINGS = ("feature", "data", "range", "none")
"""How inputs are scaled, see `core.data.scaling`; the first is the default."""

LIMITS = ("timeout", "memory_limit", "retries", "checkpoint", "keep_model")
"""What bounds a trial, or what it leaves, without being part of what it computes: not in its
id."""

NOT_COMPUTED = (*LIMITS, "suite", "axes", "words", "observers", "locations")
"""Fields that are not part of what a trial computes, and so not of its id."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Everything that decides the outcome of one training run.

    Components are validated data (`registry.Component`), every default filled in. `data` is
    the identity of the data set beyond its parameters, such as a checksum, or {"missing": why},
    of which the id takes only that it is missing. `locations` names the data set's parameters that
    say where it is; where `data` tells the content, they are not part of the id. `axes` holds the
    suite's grid values by dotted key and `words` tells them apart for people; `suite`, `axes`
    and `words` are labels and not part of the id. `observers` are components too; they look on and
    change nothing, so they are not part of it either. `checkpoint` is in seconds; `keep_model` None
    keeps a small network only.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "extra": "forbid"}

    dataset: dict[str, Any]
    model: dict[str, Any]
    topology: dict[str, Any]
    optimizer: dict[str, Any]
    trainer: dict[str, Any]
    backend: dict[str, Any]
    epochs: int
    batch_size: int
    threads: int
    seed: int
    split_seed: int | None = None
    validation: float = 0.0
    huge_pages: bool = False
    objective: dict[str, Any] = field(default_factory=lambda: {"name": DEFAULT_OBJECTIVE})
    scaling: str = SCALINGS[0]
    data: dict[str, Any] = field(default_factory=dict)
    locations: list[str] = field(default_factory=list)
    observers: list[dict[str, Any]] = field(default_factory=list)
    suite: str = ""
    axes: dict[str, Any] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    memory_limit: int | None = None
    retries: int = 0
    checkpoint: float | None = None
    keep_model: bool | None = None

    def spec(self) -> dict[str, Any]:
        """What the id is made of: of what came later than 0.1.0, only what is no default."""
        spec = {key: value for key, value in asdict(self).items() if key not in NOT_COMPUTED}
        said = {key: value for key, value in self.objective.items() if value is not None}
        if said == {"name": DEFAULT_OBJECTIVE}:
            del spec["objective"]
        if self.scaling == SCALINGS[0]:
            del spec["scaling"]
        if "missing" in self.data:
            spec["data"] = {"missing": True}
        elif self.data:
            for name in self.locations:
                spec["dataset"].pop(name, None)
        return {"format": SPEC_FORMAT, **spec}

    @cached_property
    def id(self) -> str:
        """16 hex digits of the spec: the same trial has the same id in every suite."""
        return digest(self.spec(), 8)

    @cached_property
    def cell(self) -> str:
        """The id without the seed: trials of one cell are replicates."""
        return digest({k: v for k, v in self.spec().items() if k != "seed"}, 8)

    def observes_all_of(self, other: Trial) -> bool:
        """Whether every observer of `other` is one of this trial's, with the same parameters."""
        return all(observer in self.observers for observer in other.observers)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        return cls(**data)


def canonical(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: Any, size: int) -> str:
    """2 x `size` hex digits of canonical JSON."""
    return hashlib.blake2b(canonical(data).encode(), digest_size=size).hexdigest()
