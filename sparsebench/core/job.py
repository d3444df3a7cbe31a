"""A job, one JSON object that travels to where a trial runs, and names of files it leaves there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.audit.evidence import Sizes
from sparsebench.core.trial import Trial
from sparsebench.machine import usable_cores

CHECKPOINT = "checkpoint.npz"

MODEL = "model.npz"
"""The trained network."""

EVIDENCE = "evidence.json"
"""The measurements of an audit probe."""

RATES = "rates.json"
"""Seconds of layers, from a job that only times them."""


@dataclass(frozen=True)
class Ladder:
    """Layers to be timed: `works` are the connections that a step looks at in each.

    per_neuron  connections by neuron of both sides, as in the suite
    """

    batch: int
    works: tuple[int, ...]
    per_neuron: float


@dataclass(frozen=True)
class Point:
    """Seconds of a square layer.

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


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial, and what else its process needs to know.

    folder    the attempt's directory in the store: results and logs go there
    cores     the cores the trial is pinned to; None leaves it to the kernel
    contended other trials run at the same time
    compile_for   only compile what these trials run, on throwaway networks
    resume_from   a checkpoint of an earlier attempt to go on from; None starts anew
    ladders   only time layers of the trial's backend, and leave a rates.json
    probe     only probe layers of these sizes for dense work, and leave an evidence.json
    processes how many of this program the trial has, each with the trial's threads
    forks     how many its trainer starts by itself, likewise, and waits for
    """

    trial: Trial
    folder: Path
    data_dir: Path
    plugin_files: tuple[Path, ...] = ()
    cores: tuple[int, ...] | None = None
    contended: bool = False
    compile_for: tuple[Trial, ...] = ()
    numba_cache: Path | None = None
    resume_from: Path | None = None
    ladders: tuple[Ladder, ...] = ()
    probe: Sizes | None = None
    processes: int = 1
    forks: int = 0

    @property
    def oversubscribed(self) -> bool:
        """Whether here the trial has more threads than cores."""
        cores = self.cores if self.cores is not None else usable_cores()
        return max(self.processes, self.forks) * self.trial.threads > len(cores)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """A job of this program's own making. A trial's process reads it, so no pydantic here."""
        paths = {
            name: Path(data[name])
            for name in ("folder", "data_dir", "numba_cache", "resume_from")
            if data[name] is not None
        }
        made: dict[str, Any] = {
            "trial": Trial.from_json(data["trial"]),
            "plugin_files": tuple(map(Path, data["plugin_files"])),
            "cores": tuple(data["cores"]) if data["cores"] is not None else None,
            "compile_for": tuple(map(Trial.from_json, data["compile_for"])),
            "ladders": tuple(
                Ladder(**{**ladder, "works": tuple(ladder["works"])}) for ladder in data["ladders"]
            ),
            "probe": Sizes(**data["probe"]) if data["probe"] is not None else None,
        }
        return cls(**{**data, **paths, **made})
