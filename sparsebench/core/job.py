"""The job of a trial's process, as one JSON object, and the names of the files that it writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.audit.probe_sizes import Sizes
from sparsebench.core.trial import Trial
from sparsebench.cores_and_threads import usable_cores

CHECKPOINT = "checkpoint.npz"

MODEL = "model.npz"
"""The trained network."""

EVIDENCE = "evidence.json"
"""The measurements of an audit probe."""

RATES = "rates.json"
"""The measured seconds of layers, written by a job with `ladders`."""


@dataclass(frozen=True)
class Ladder:
    """A series of ever larger layers to time, to predict how long a trial takes.

    batch       samples of a batch
    works       for each layer, the entries of W that the backend visits: its connections, or K D if
                the backend is dense
    per_neuron  connections / (K + D) of the layers, as in the suite
    """

    batch: int
    works: tuple[int, ...]
    per_neuron: float


@dataclass(frozen=True)
class Point:
    """Measured seconds of a square layer.

    work     entries of W that the backend visits, as in `Ladder.works`
    neurons  K, which is also D
    forward, backward  seconds of the passes of a step; backward includes the update of the weights
    backward_first     the same as backward for a first layer, without DX
    unit     seconds of the activation after the layer, forward and backward
    begin    how many seconds longer the first step takes than a later one
    update   seconds of a topology update of the layer
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
    """A trial and everything else that its process needs.

    folder       the attempt's folder in the store, for results and logs
    cores        the cores that the trial is pinned to; None: not pinned
    contended    whether other trials run at the same time
    compile_for  only compile what these trials need, on throwaway networks
    resume_from  checkpoint of an earlier attempt to resume from; None: start anew
    ladders      only time layers of the trial's backend, and write rates.json
    probe        only probe layers of these sizes for dense work, and write evidence.json
    processes    number of processes that mpiexec starts for the trial, each with its threads
    forks        number of processes that the trainer itself starts and waits for
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
        """Whether the trial has more threads than cores that it may use."""
        cores = self.cores if self.cores is not None else usable_cores()
        return max(self.processes, self.forks) * self.trial.threads > len(cores)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """Read a job that this program made. A trial's process calls it, so it does not use
        pydantic."""
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
