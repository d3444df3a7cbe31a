"""The caller's connection to a Dask cluster: its workers and their resources."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, LocalCluster

from sparsebench import machine
from sparsebench.cores_and_threads import usable_cores
from sparsebench.errors import SparsebenchError

CORES, MEMORY = "cores", "memory"
"""Names of the Dask resources that a trial takes: the threads of all its processes, and its memory
limit in bytes."""

TIMEOUT = 10.0
"""Seconds for a scheduler to answer, and for the first worker to come."""

ENDING = 3.0
"""Seconds for the connection, and for a cluster of our own, to be closed."""

Handler = Callable[[Mapping[str, Any]], None]


class ClusterError(SparsebenchError):
    """The cluster is not usable: no scheduler answers, or no worker has the resources."""


@dataclass(frozen=True)
class WorkerInfo:
    """A Dask worker that declares the resources `cores` and `memory`.

    places  number of trials of one core that it can run at once
    memory  bytes
    """

    host: str
    places: int
    cores: float
    memory: float


class Cluster:
    """A connection to a scheduler; without an address, to a local cluster that is started here.

    count           number of workers of the local cluster
    on_message      called with each message of a trial, in a thread of the Dask client
    on_worker_gone  called with the address of each worker that left, in the same thread
    """

    def __init__(
        self,
        address: str | None,
        count: int,
        on_message: Handler,
        on_worker_gone: Callable[[str], None],
    ) -> None:
        self.topic = f"sparsebench-{secrets.token_hex(8)}"
        self.local = address is None
        self._restore_logging = _silence()
        self._local_cluster: LocalCluster | None = None
        self._client: Any = None
        self._on_worker_gone = on_worker_gone
        self._known: dict[str, WorkerInfo] = {}
        self._hosts: dict[str, str] = {}
        self._most: Counter[str] = Counter()
        self._outdated = True
        self._over = False
        try:
            self._client = self._connected(address, count)
            self.address = str(self._client.scheduler.address)
            self._client.subscribe_topic(self.topic, lambda event: on_message(event[1]))
            self._client.subscribe_topic("all", self._on_cluster_event)
            self._require_workers()
        except BaseException:
            self.close()
            raise

    @property
    def lost(self) -> str:
        """Why the cluster can no longer be used; empty while it can."""
        if not self._over and self._client is not None and self._client.status == "running":
            return ""
        self._over = True
        return (
            f"the Dask scheduler at {self.address} is gone; what arrived is kept, and trials that "
            "were under way are interrupted: run again, with a scheduler that answers, to go on"
        )

    def lose(self) -> None:
        """Mark the cluster as lost for good: a scheduler that restarts has forgotten our trials."""
        self._over = True

    def workers(self) -> dict[str, WorkerInfo]:
        """Workers that declare our resources, by address. The scheduler is asked again only after
        a worker joined or left; the last answer is kept if it does not reply."""
        if not self._outdated or self.lost:
            return self._known
        self._outdated = False
        try:
            found = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, RuntimeError):  # queried again the next time
            self._outdated = True
            return self._known
        self._known = {}
        for address, info in found.items():
            has = info.get("resources") or {}
            cores, memory = float(has.get(CORES, 0)), float(has.get(MEMORY, 0))
            if cores:
                places = min(int(info["nthreads"]), int(cores))
                self._known[address] = WorkerInfo(str(info["host"]), places, cores, memory)
        # the most places that each host had at once, so that a restarted worker counts once
        now: Counter[str] = Counter()
        for address, worker in self._known.items():
            self._hosts[address] = worker.host
            now[worker.host] += worker.places
        self._most |= now
        return self._known

    def places(self) -> int:
        return sum(worker.places for worker in self.workers().values())

    def crowded(self, address: str) -> bool:
        """Whether the host of the worker at `address` has had workers that could run several trials
        at once."""
        self.workers()
        return self._most[self._hosts.get(address, "")] > 1

    def too_small(self, cores: int, memory: int) -> str:
        """Why no worker can take a trial of so many cores and bytes of memory, in one line; empty
        if one can, or if there are no workers now."""
        workers = self.workers().values()
        if not workers or any(w.cores >= cores and w.memory >= memory for w in workers):
            return ""
        most = max(workers, key=lambda worker: (worker.cores, worker.memory))
        needs = f"{cores} cores" + (f" and {memory} bytes of memory" if memory else "")
        first = "give fewer --jobs" if self.local else self._start_command(cores, memory)
        return (
            f"it takes {needs}, and no Dask worker has that (the largest: {most.cores:g} cores, "
            f"{most.memory:.0f} bytes); {first}, or give smaller --threads or --memory-limit"
        )

    def submit(
        self, function: Any, argument: Any, blob: bytes | None, token: str, needs: Any
    ) -> Future:
        """Submit function(argument, blob) as a Dask task that runs once, without retries.

        blob   bytes that may be many, such as a checkpoint; they are sent apart
        token  key of the task
        needs  amount of each resource that the task takes
        """
        data = self._client.scatter(blob, hash=False) if blob is not None else None
        return self._client.submit(
            function, argument, data, key=token, pure=False, retries=0, resources=needs
        )

    def send(self, token: str, **message: Any) -> None:
        """Post a message on the trial's topic, which its worker polls. Does not block; does nothing
        if the cluster is lost."""
        if not self.lost:
            asyncio.run_coroutine_threadsafe(
                self._client.scheduler.log_event(topic=token, msg=message),
                self._client.loop.asyncio_loop,
            )

    def close(self) -> None:
        """Disconnect, and shut down the local cluster if there is one."""
        for part in (self._client, self._local_cluster):
            if part is not None:
                with contextlib.suppress(OSError, RuntimeError, asyncio.TimeoutError):
                    part.close(timeout=ENDING)
        self._restore_logging()

    def _connected(self, address: str | None, count: int) -> Any:
        try:
            if address is None:
                self._local_cluster = _local_cluster(count)
            target = self._local_cluster if address is None else address
            return Client(target, timeout=TIMEOUT, set_as_default=False)
        except (TimeoutError, OSError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            if address is None:
                raise ClusterError(f"no Dask cluster starts on this machine: {reason}") from None
            raise ClusterError(
                f"no Dask scheduler answers at {address}: {reason}; start one with: dask scheduler"
            ) from None

    def _require_workers(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            self._client.wait_for_workers(1, timeout=TIMEOUT)
        if self.workers():
            return
        count = len(self._client.scheduler_info(n_workers=-1)["workers"])
        what = "has no workers"
        if count:
            what = f"has {count} workers, but none with the resources 'cores' and 'memory'"
        raise ClusterError(
            f"the Dask scheduler at {self.address} {what}; {self._start_command(None, 0)}"
        )

    def _start_command(self, cores: int | None, memory: int) -> str:
        return (
            f"start one with: dask worker {self.address} --nworkers 1 --nthreads 1 "
            f"--resources 'cores={cores or 'N'},memory={memory or 'BYTES'}'"
        )

    def _on_cluster_event(self, event: tuple[float, Any]) -> None:
        action = event[1].get("action") if isinstance(event[1], Mapping) else None
        if action in ("add-worker", "remove-worker"):
            self._outdated = True
        if action == "remove-worker":
            self._on_worker_gone(str(event[1]["worker"]))


def _local_cluster(count: int) -> LocalCluster:
    """`count` workers, a process and a thread each, that share this machine's cores and memory.

    Dask's own memory limit is turned off: it would apply to the worker, not to the trial's process.
    """
    cores = len(usable_cores())
    if count > cores:
        raise ClusterError(f"{count} workers need a core each; this machine has {cores} to use")
    return LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        memory_limit=None,
        silence_logs=logging.CRITICAL,
        resources={CORES: cores // count, MEMORY: machine.total_memory() // count},
    )


def _silence() -> Callable[[], None]:
    """Silence the loggers of `distributed`; the function returned restores their levels."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    before = {name: logging.getLogger(name).level for name in ("distributed", *names)}

    def set_levels(levels: Mapping[str, int]) -> None:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    set_levels(dict.fromkeys(before, logging.CRITICAL))
    return lambda: set_levels(before)
