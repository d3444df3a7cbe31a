"""The caller's handle (`protocols.Handle`) of a trial on a worker of the cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from distributed import CancelledError, Future, KilledWorker

from sparsebench.core.job import Job
from sparsebench.core.status import Status
from sparsebench.errors import printable
from sparsebench.store.provenance import impersonal
from sparsebench.store.record import utc_now
from sparsebench_dask.cluster import Cluster
from sparsebench_dask.remote_job import Reply, add_lines, unpack

ANSWER, ANSWER_KILLED = 20.0, 8.0
"""Seconds to wait for a worker's reply after it was asked to stop, or to kill, a trial."""


def outcome_of(status: Status, detail: str, cause: str = "") -> dict[str, Any]:
    """The outcome of a trial whose worker sent none; its machine is not known."""
    fields = {"status": str(status), "cause": cause, "detail": impersonal(printable(detail))}
    return {**fields, "machine": {}, "ended": utc_now()}


class RemoteTrial:
    """Under way once submitted; on a worker once that worker reports that it began.

    notes  lines for stderr.log, written when the reply comes

    The client's thread calls `on_message` and `worker_gone`; the session's calls the rest.
    """

    def __init__(self, job: Job, cluster: Cluster, token: str, notes: Sequence[str] = ()) -> None:
        self._job, self._cluster, self._notes = job, cluster, notes
        self.token = token
        self._future: Future | None = None
        self._outcome: Mapping[str, Any] | None = None
        self._arrived: Reply | BaseException | None = None
        self._progress: Mapping[str, Any] = {}
        self._worker = self._address = ""
        self._gone = False
        self._stop_requested = False
        self._give_up_at: float | None = None

    def follow(self, future: Future) -> None:
        self._future = future
        future.add_done_callback(self._receive)

    # --- a Handle ----------------------------------------------------------------------

    def poll(self) -> Mapping[str, Any] | None:
        if self._outcome is None:
            self._outcome = self._look()
            if self._outcome is not None:
                self._let_go()
        return self._outcome

    def progress(self) -> Mapping[str, Any]:
        return self._progress

    def stop(self, kill: bool = False) -> None:
        """Ask the worker to end the trial; a trial that has not begun is cancelled."""
        if self._outcome is not None:
            return
        self._stop_requested = True
        if not self._worker:
            self._outcome = outcome_of(Status.INTERRUPTED, "stopped before it began")
            self._let_go()
            return
        self._give_up_at = time.monotonic() + (ANSWER_KILLED if kill else ANSWER)
        self._cluster.send(self.token, what="stop", kill=kill)

    # --- from other threads --------------------------------------------------------------

    def on_message(self, message: Mapping[str, Any]) -> None:
        if message["what"] == "progress":
            self._progress = message["progress"]
        elif message["what"] == "began" and not self._worker:
            self._address = str(message["address"])
            self._worker = str(message["worker"])

    def worker_gone(self, address: str) -> None:
        self._gone = self._gone or (bool(self._worker) and self._address == address)

    def _receive(self, future: Future) -> None:
        try:
            self._arrived = future.result()
        except BaseException as error:
            self._arrived = error

    # --- the end -------------------------------------------------------------------------

    def _look(self) -> Mapping[str, Any] | None:
        if isinstance(self._arrived, dict):
            return self._replied(self._arrived)
        if self._cluster.lost:
            return self._scheduler_lost()
        if self._gone:
            return self._worker_lost(self._worker)
        if self._arrived is not None:
            return self._failed(self._arrived)
        if self._give_up_at is not None and time.monotonic() > self._give_up_at:
            return outcome_of(
                Status.INTERRUPTED, f"stopped; worker {self._worker} did not say how it ended"
            )
        return None

    def _replied(self, reply: Reply) -> Mapping[str, Any]:
        worker = reply["worker"]
        if "again" in reply:
            return self._worker_lost(reply["again"])
        if "refused" in reply:
            return outcome_of(Status.SKIPPED, f"worker {worker}: {reply['refused']}", "worker")
        unpack(reply["files"], self._job.folder)
        add_lines([*self._notes, *reply["left"]], self._job.folder)
        crowded = self._cluster.crowded(reply["address"])
        return {**reply["outcome"], "contended": crowded}

    def _scheduler_lost(self) -> Mapping[str, Any]:
        return outcome_of(Status.INTERRUPTED, "the Dask scheduler was gone before it ended")

    def _worker_lost(self, name: str) -> Mapping[str, Any]:
        if self._stop_requested:
            return outcome_of(Status.INTERRUPTED, f"stopped, and its worker {name} was gone")
        return outcome_of(
            Status.KILLED, f"Dask worker {name} was gone before the trial ended", "worker lost"
        )

    def _failed(self, error: BaseException) -> Mapping[str, Any]:
        """Dask reports an error instead of a reply: a lost worker, or code that did not load."""
        if getattr(error, "reason", "") == "scheduler-connection-lost":
            self._cluster.lose()
            return self._scheduler_lost()
        if isinstance(error, KilledWorker):
            return self._worker_lost(str(error.last_worker.address))
        if self._stop_requested or isinstance(error, CancelledError):
            return outcome_of(Status.INTERRUPTED, "stopped before its end, or cancelled in Dask")
        reason = str(error).strip().partition("\n")[0]
        text = f"{type(error).__name__}: {reason}"
        if isinstance(error, ImportError) or "deserializ" in reason:
            detail = (
                f"a Dask worker, or the scheduler, does not load sparsebench: {text}; install "
                "there what is here, with the extra dask"
            )
            return outcome_of(Status.SKIPPED, detail, "worker")
        where = f"on worker {self._worker}: " if self._worker else ""
        return outcome_of(Status.ERROR, f"{where}{text}", type(error).__name__)

    def _let_go(self) -> None:
        """Cancel the future; a worker that still runs the trial then ends it."""
        if self._future is not None and not self._cluster.lost:
            self._future.cancel()
        self._future = None
