"""The executor `dask`: runs trials on the workers of a Dask cluster, each under our supervisor."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from distributed import CancelledError, Future, KilledWorker

from sparsebench.core.files import writing_to
from sparsebench.core.job import Job
from sparsebench.core.status import Status
from sparsebench.discovery import load_plugins
from sparsebench.errors import printable
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import forget_sources
from sparsebench.store.provenance import impersonal
from sparsebench.store.record import utc_now
from sparsebench_dask import DaskParams
from sparsebench_dask.cluster import CORES, MEMORY, Cluster, ClusterError
from sparsebench_dask.remote_job import LARGEST_SENT_FILE, Reply, make_remote_job, too_large, unpack
from sparsebench_dask.worker import run_remote_job

PATIENCE = 5.0
"""Seconds to wait for killed trials to end."""

ANSWER, ANSWER_KILLED = 20.0, 8.0
"""Seconds to wait for a worker's reply after it was asked to stop, or to kill, a trial."""


@dataclass
class Dask(DaskParams):
    """Runs as many trials at once as the workers have threads and cores for, or fewer if `slots`
    limits them; workers may join and leave.

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
        """The most trials that may run at once with the present workers; at least 1."""
        places = max(1, self._cluster.places())
        bounded = self.address is None or self._at_most > 1
        return min(places, self._at_most) if bounded else places

    def submit(self, job: Job) -> RemoteTrial:
        """Send a job to a worker. If no worker is large enough, the trial that is returned has
        already ended, with the status `skipped`. Raises ClusterError if the cluster is lost."""
        if self.lost:
            raise ClusterError(self.lost)
        self._forget_ended()
        checkpoint, notes = None, []
        if job.resume_from is not None:
            size = job.resume_from.stat().st_size
            if size > LARGEST_SENT_FILE:
                notes = [f"begun anew: the checkpoint's {too_large(size)}"]
            else:
                checkpoint = job.resume_from.read_bytes()
        trial = RemoteTrial(job, self._cluster, notes)
        cores = job.trial.threads * max(job.processes, job.forks)
        memory = job.trial.memory_limit or 0
        if refusal := self._cluster.too_small(cores, memory):
            trial.end(Status.SKIPPED, refusal, "resources")
            return trial
        self._under_way[trial.token] = trial
        forget_sources()
        key = (job.plugin_files, job.data_dir)
        if key not in self._plugins:
            self._plugins[key] = load_plugins(*key)
        remote = make_remote_job(
            job,
            self._plugins[key],
            token=trial.token,
            topic=self._cluster.topic,
            data_dir=job.data_dir if self._cluster.local else None,
        )
        needs = {CORES: cores, **({MEMORY: memory} if memory else {})}
        future = self._cluster.submit(run_remote_job, remote, checkpoint, trial.token, needs)
        trial.follow(future)
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

    def _forget_ended(self) -> None:
        for token, trial in list(self._under_way.items()):
            if trial.poll() is not None:
                del self._under_way[token]

    def _on_message(self, message: Mapping[str, Any]) -> None:
        if trial := self._under_way.get(str(message["token"])):
            trial.on_message(message)

    def _worker_gone(self, address: str) -> None:
        for trial in list(self._under_way.values()):
            trial.on_worker_gone(address)


class RemoteTrial:
    """The caller's handle of a trial on a worker (`sparsebench.run.executor.Handle`).

    The trial is on a worker once that worker reports that it began; until then it waits in Dask.
    The Dask client's thread calls `on_message` and `on_worker_gone`; the session's thread calls the
    other methods.

    notes  lines for stderr.log, written when the reply comes
    """

    def __init__(self, job: Job, cluster: Cluster, notes: list[str]) -> None:
        self._job, self._cluster, self._notes = job, cluster, notes
        self.token = f"sparsebench-{secrets.token_hex(8)}"
        self._future: Future | None = None
        self._outcome: Mapping[str, Any] | None = None
        self._arrived: Reply | BaseException | None = None
        self._progress: Mapping[str, Any] = {}
        self._worker = self._address = ""
        self._gone = self._stop_requested = False
        self._give_up_at: float | None = None

    def follow(self, future: Future) -> None:
        """Have the submitted function's reply kept for `poll` when it arrives. Does not wait."""

        def receive(future: Future) -> None:
            try:
                self._arrived = future.result()
            except BaseException as error:
                self._arrived = error

        self._future = future
        future.add_done_callback(receive)

    def poll(self) -> Mapping[str, Any] | None:
        if self._outcome is None:
            if isinstance(self._arrived, dict):
                self._replied(self._arrived)
            elif self._cluster.lost:
                self._scheduler_lost()
            elif self._gone:
                self._worker_lost(self._worker)
            elif self._arrived is not None:
                self._failed(self._arrived)
            elif self._give_up_at is not None and time.monotonic() > self._give_up_at:
                detail = f"stopped; worker {self._worker} did not say how it ended"
                self.end(Status.INTERRUPTED, detail)
        return self._outcome

    def progress(self) -> Mapping[str, Any]:
        return self._progress

    def stop(self, kill: bool = False) -> None:
        """Ask the worker to end the trial; a trial that has not begun is cancelled."""
        if self._outcome is not None:
            return
        self._stop_requested = True
        if not self._worker:
            self.end(Status.INTERRUPTED, "stopped before it began")
            return
        self._give_up_at = time.monotonic() + (ANSWER_KILLED if kill else ANSWER)
        self._cluster.send(self.token, what="stop", kill=kill)

    def on_message(self, message: Mapping[str, Any]) -> None:
        if message["what"] == "progress":
            self._progress = message["progress"]
        elif message["what"] == "began" and not self._worker:
            self._address = str(message["address"])
            self._worker = str(message["worker"])

    def on_worker_gone(self, address: str) -> None:
        self._gone = self._gone or (bool(self._worker) and self._address == address)

    def end(self, status: Status, detail: str, cause: str = "") -> None:
        """End the trial with an outcome that no worker sent; its machine is not known."""
        fields = {"status": str(status), "cause": cause, "detail": impersonal(printable(detail))}
        self._end({**fields, "machine": {}, "ended": utc_now()})

    def _end(self, outcome: Mapping[str, Any]) -> None:
        """Keep the outcome and cancel the task, so that a worker that still runs the trial kills
        it."""
        self._outcome = outcome
        if self._future is not None and not self._cluster.lost:
            self._future.cancel()
        self._future = None

    def _replied(self, reply: Reply) -> None:
        if "again" in reply:
            self._worker_lost(reply["again"])
        elif "refused" in reply:
            detail = f"worker {reply['worker']}: {reply['refused']}"
            self.end(Status.SKIPPED, detail, "worker")
        else:
            folder = self._job.folder
            unpack(reply["files"], folder)
            with writing_to(folder), (folder / "stderr.log").open("a", encoding="utf-8") as log:
                log.writelines(f"{line}\n" for line in (*self._notes, *reply["left"]))
            crowded = self._cluster.crowded(reply["address"])
            self._end({**reply["outcome"], "contended": crowded})

    def _scheduler_lost(self) -> None:
        self.end(Status.INTERRUPTED, "the Dask scheduler was gone before it ended")

    def _worker_lost(self, name: str) -> None:
        if self._stop_requested:
            self.end(Status.INTERRUPTED, f"stopped, and its worker {name} was gone")
        else:
            detail = f"Dask worker {name} was gone before the trial ended"
            self.end(Status.KILLED, detail, "worker lost")

    def _failed(self, error: BaseException) -> None:
        """End the trial after Dask reported an error instead of a reply: the scheduler or a worker
        was lost, the task was cancelled, the code did not load there, or it raised."""
        reason = str(error).strip().partition("\n")[0]
        text = f"{type(error).__name__}: {reason}"
        if getattr(error, "reason", "") == "scheduler-connection-lost":
            self._cluster.lose()
            self._scheduler_lost()
        elif isinstance(error, KilledWorker):
            self._worker_lost(str(error.last_worker.address))
        elif self._stop_requested or isinstance(error, CancelledError):
            self.end(Status.INTERRUPTED, "stopped before its end, or cancelled in Dask")
        elif isinstance(error, ImportError) or "deserializ" in reason:
            detail = (
                f"a Dask worker, or the scheduler, does not load sparsebench: {text}; install "
                "there what is here, with the extra dask"
            )
            self.end(Status.SKIPPED, detail, "worker")
        else:
            where = f"on worker {self._worker}: " if self._worker else ""
            self.end(Status.ERROR, f"{where}{text}", type(error).__name__)
