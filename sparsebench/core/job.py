"""What travels to where a trial runs: one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.audit.sizes import Sizes
from sparsebench.core.ladder import Ladder
from sparsebench.core.trial import Trial
from sparsebench.machine import usable_cores


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial, and what its process needs to know beside it.

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
        data = asdict(self)
        return data | {
            "trial": self.trial.to_json(),
            "folder": str(self.folder),
            "data_dir": str(self.data_dir),
            "compile_for": [trial.to_json() for trial in self.compile_for],
            "plugin_files": [str(file) for file in self.plugin_files],
            "ladders": [ladder.to_json() for ladder in self.ladders],
            "numba_cache": str(self.numba_cache) if self.numba_cache is not None else None,
            "resume_from": str(self.resume_from) if self.resume_from is not None else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        return cls(
            **{
                **data,
                "trial": Trial.from_json(data["trial"]),
                "compile_for": tuple(map(Trial.from_json, data.get("compile_for", ()))),
                "folder": Path(data["folder"]),
                "data_dir": Path(data["data_dir"]),
                "plugin_files": tuple(Path(file) for file in data["plugin_files"]),
                "cores": tuple(data["cores"]) if data["cores"] is not None else None,
                "ladders": tuple(map(Ladder.from_json, data.get("ladders", ()))),
                "probe": Sizes.from_json(data["probe"]) if data.get("probe") else None,
                "numba_cache": Path(data["numba_cache"]) if data["numba_cache"] else None,
                "resume_from": Path(data["resume_from"]) if data.get("resume_from") else None,
            }
        )
