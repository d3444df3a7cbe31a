"""Trials on the workers of a Dask cluster, each under our own supervisor there."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sparsebench.core.job import Job
from sparsebench.core.status import Status
from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import forget_sources
from sparsebench_dask.cluster import CORES, MEMORY, Cluster, ClusterError
from sparsebench_dask.params import DaskParams
from sparsebench_dask.remote_job import MOST, make_remote_job, too_large
from sparsebench_dask.remote_trial import RemoteTrial, outcome_of
from sparsebench_dask.worker_side import run_remote_job

PATIENCE = 5.0
"""Seconds to wait for killed trials to end."""


@dataclass
class Dask(DaskParams):
    """As many trials at once as the cluster has places for, as workers come and go.

    shares_machine  False: Dask's resources assign cores and memory, the session does not
    many_machines   True: each machine compiles its own kernels, and times of one machine do not
                    predict those of another
    """

    shares_machine: ClassVar[bool] = False
    many_machines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._at_most = self.slots
        self._under_way: dict[str, RemoteTrial] = {}
        self._plugins: dict[tuple[Any, ...], Plugins] = {}
        self._cluster = Cluster(self.address, self._at_most, self._on_message, self._worker_gone)

    @property
    def lost(self) -> str:
        """Why no more trials can be run; empty while they can."""
        return self._cluster.lost

    def room(self) -> int:
        """Trials that may be under way now."""
        places = max(1, self._cluster.places())
        bounded = self.address is None or self._at_most > 1
        return min(places, self._at_most) if bounded else places

    def submit(self, job: Job) -> RemoteTrial | Unplaced:
        if self.lost:
            raise ClusterError(self.lost)
        self._forget_ended()
        checkpoint, notes = _checkpoint(job)
        token = f"sparsebench-{secrets.token_hex(8)}"
        trial = RemoteTrial(job, self._cluster, token, notes)
        cores = job.trial.threads * max(job.processes, job.forks)
        memory = job.trial.memory_limit or 0
        refusal = self._cluster.too_small(cores, memory)
        if refusal:
            return Unplaced(outcome_of(Status.SKIPPED, refusal, "resources"))
        self._under_way[trial.token] = trial
        self._send(job, trial, checkpoint, {CORES: cores, **({MEMORY: memory} if memory else {})})
        return trial

    def close(self) -> None:
        """Kill the trials under way and disconnect."""
        for trial in self._under_way.values():
            trial.stop(kill=True)
        deadline = time.monotonic() + PATIENCE
        self._forget_ended()
        while self._under_way and time.monotonic() < deadline:
            time.sleep(0.05)
            self._forget_ended()
        self._cluster.close()

    def _send(
        self, job: Job, trial: RemoteTrial, checkpoint: bytes | None, needs: Mapping[str, float]
    ) -> None:
        forget_sources()
        remote = make_remote_job(
            job,
            self._plugins_of(job),
            token=trial.token,
            topic=self._cluster.topic,
            data_dir=job.data_dir if self._cluster.local else None,
        )
        trial.follow(self._cluster.submit(run_remote_job, remote, checkpoint, trial.token, **needs))

    def _plugins_of(self, job: Job) -> Plugins:
        key = (job.plugin_files, job.data_dir)
        if key not in self._plugins:
            self._plugins[key] = load_plugins(job.plugin_files, job.data_dir)
        return self._plugins[key]

    def _on_message(self, message: Mapping[str, Any]) -> None:
        trial = self._under_way.get(str(message["token"]))
        if trial is not None:
            trial.on_message(message)

    def _worker_gone(self, event: Mapping[str, Any]) -> None:
        for trial in list(self._under_way.values()):
            trial.worker_gone(str(event["worker"]))

    def _forget_ended(self) -> None:
        ended = [token for token, trial in self._under_way.items() if trial.poll() is not None]
        for token in ended:
            del self._under_way[token]


@dataclass(frozen=True)
class Unplaced:
    """The handle of a trial that no worker can take; its outcome is known at once."""

    outcome: Mapping[str, Any]

    def poll(self) -> Mapping[str, Any]:
        return self.outcome

    def progress(self) -> Mapping[str, Any]:
        return {}

    def stop(self, kill: bool = False) -> None:
        """It has ended."""


def _checkpoint(job: Job) -> tuple[bytes | None, list[str]]:
    """The checkpoint to resume from, and notes. One that is too large is not sent."""
    file = job.resume_from
    if file is None:
        return None, []
    size = file.stat().st_size
    if size > MOST:
        return None, [f"begun anew: the checkpoint's {too_large(size)}"]
    return file.read_bytes(), []
