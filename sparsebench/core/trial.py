"""A trial as data: everything that describes the training of one network with one seed.

A cell is a set of trials that are equal but for the seed and the fold: replicates of each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

SPEC_FORMAT = 1

PARTS = ("dataset", "model", "topology", "optimizer", "trainer", "backend", "objective")
"""The components of a trial, one of each kind."""

DEFAULT_OBJECTIVE = "classification"
"""The objective of a trial whose suite names none, and of older records."""

SCALINGS = ("feature", "data", "range", "none")
"""How inputs are scaled, see `core.data.feature_scaling`; the first is the default."""

LIMITS = ("timeout", "memory_limit", "retries", "checkpoint", "keep_model")
"""Fields that limit a trial or decide what it stores, and do not change its result."""

NOT_COMPUTED = (*LIMITS, "suite", "axes", "words", "observers", "locations", "defaults")
"""Fields that do not change a trial's result and are not part of its id."""


REPLICATED = ("seed", "fold")
"""Fields in which the trials of a cell differ."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Everything that decides the outcome of one training run, and its labels and limits.

    dataset ... objective  validated components (`registry.Component`) with every default filled in
    data        identity of the data set besides its parameters, such as a checksum; or
                {"missing": reason}, whose reason is not part of the id
    locations   names of parameters that say where the data set is; they are not part of the id if
                `data` identifies the content
    observers   components; they change nothing, so they are not in the id
    suite, axes, words  labels that are not in the id: the suite's name, the trial's grid values by
                dotted key, and these values in words
    defaults    by component, parameters that its data leave out because they have their default
    split_seed  seed of the splits of the data; None: `seed`
    fold        "2/5": the second of five parts of the samples is the test part
    validation  fraction of the training samples that is held out
    timeout, memory_limit  in seconds and in bytes; None: no limit
    checkpoint  seconds between two checkpoints; None: no checkpoints
    keep_model  None: store the trained network only if it is small
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
    fold: str | None = None
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
    defaults: dict[str, dict[str, Any]] = field(default_factory=dict)
    timeout: float | None = None
    memory_limit: int | None = None
    retries: int = 0
    checkpoint: float | None = None
    keep_model: bool | None = None

    def spec(self) -> dict[str, Any]:
        """The data from which the id is computed. Fields added after version 0.1.0 are left out if
        they have their default. The values are not copied: callers must not change them."""
        names = (one.name for one in fields(self))
        spec = {name: getattr(self, name) for name in names if name not in NOT_COMPUTED}
        said = {key: value for key, value in self.objective.items() if value is not None}
        if said == {"name": DEFAULT_OBJECTIVE}:
            del spec["objective"]
        if self.scaling == SCALINGS[0]:
            del spec["scaling"]
        if self.fold is None:
            del spec["fold"]
        if "missing" in self.data:
            spec["data"] = {"missing": True}
        elif self.data:
            parameters = spec["dataset"].items()
            spec["dataset"] = {key: value for key, value in parameters if key not in self.locations}
        return {"format": SPEC_FORMAT, **spec}

    def whole(self, part: str) -> dict[str, Any]:
        """A component with the parameters that its data leave out because they have their
        default."""
        return {**self.defaults.get(part, {}), **getattr(self, part)}

    @cached_property
    def id(self) -> str:
        """16 hex digits, a hash of the spec: the same trial has the same id in every suite."""
        return digest(self.spec(), 8)

    @cached_property
    def cell(self) -> str:
        """The id computed without seed and fold number: trials with the same cell are
        replicates."""
        spec = {k: v for k, v in self.spec().items() if k not in REPLICATED}
        return digest(spec if self.folds is None else {**spec, "folds": self.folds}, 8)

    @property
    def folds(self) -> int | None:
        """The number of folds of the samples; each is the test part of one trial. None: no
        folds."""
        return None if self.fold is None else fold_of(self.fold)[1]

    @property
    def replicate(self) -> int:
        """A number that is unique within the cell: the seed, or a number made of seed and fold."""
        if self.fold is None:
            return self.seed
        number, folds = fold_of(self.fold)
        return self.seed * folds + number - 1

    def observes_all_of(self, other: Trial) -> bool:
        """Whether every observer of `other` is one of this trial's, with the same parameters."""
        return all(observer in self.observers for observer in other.observers)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        return cls(**data)


def fold_of(text: str) -> tuple[int, int]:
    """`2/5` as (2, 5). Raises ValueError unless the text has this form, with two folds or more and
    the number of one of them."""
    number, _, folds = text.partition("/")
    plain = number.isdecimal() and folds.isdecimal() and text == f"{int(number)}/{int(folds)}"
    if plain and 1 <= int(number) <= int(folds) >= 2:
        return int(number), int(folds)
    raise ValueError(f"found {text!r}; expected a fold such as '2/5', the second of five")


def canonical(data: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal data give equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: Any, size: int) -> str:
    """A hash of the canonical JSON, 2 x `size` hex digits."""
    return hashlib.blake2b(canonical(data).encode(), digest_size=size).hexdigest()
