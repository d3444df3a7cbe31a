"""The worker's side: checks that it has the caller's versions, data and code, runs the trial under
our own supervisor, and replies."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
from distributed import Worker, get_worker
from distributed.utils import sync
from filelock import FileLock, Timeout

from sparsebench import machine
from sparsebench.core.data.catalogue import listing_of
from sparsebench.core.job import CHECKPOINT, Job
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial, canonical
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError
from sparsebench.folders import data_directory
from sparsebench.registry import Plugins
from sparsebench.run.executor import wait
from sparsebench.run.fetch import fetch
from sparsebench.run.fingerprint import forget_sources, sources
from sparsebench.run.kernel_cache import (
    COMPILED,
    cache_folder,
    compile_job,
    representatives,
    without_magnitudes,
)
from sparsebench.run.supervisor import Supervised
from sparsebench.store.provenance import impersonal
from sparsebench.suite.trial_builder import identity
from sparsebench_dask.remote_job import RemoteJob, Reply, code, packed, required_versions

PERIOD = 1.0
"""Seconds between two reports of progress, and between two polls for a request to stop."""

PATIENCE = 60.0
"""The most seconds to wait for each answer of the scheduler before the trial begins."""

NONE, TERM, KILL = 0, 1, 2

_compiled: set[str] = set()
"""Keys of the kernels that are compiled on this worker."""

_loading = threading.Lock()
"""Held while plugins are loaded, so that the threads of the worker import a file only once."""


class Refused(Exception):
    """This worker cannot run the trial; the message is the reason, in one line."""


class CallerLink:
    """A worker's link to the caller of one trial, over event topics of the scheduler.

    Requests to stop are polled without blocking, because the worker also watches memory. The
    scheduler remembers which worker began a trial: if Dask restarts it after that worker died,
    `begin` returns that worker and the trial does not run again.

    token  topic of the trial: which worker began it, and requests to stop
    topic  topic of the caller's run: progress
    name   of this worker, with its address if they differ
    """

    def __init__(self, token: str, topic: str) -> None:
        self._worker: Worker = get_worker()
        self._key = self._worker.get_current_task()
        self._token, self._topic = token, topic
        self._poll: Future[Any] | None = None
        self._polled_at = self._reported_at = time.monotonic()
        self._requested = NONE
        name, self.address = str(self._worker.name), str(self._worker.address)
        self.name = name if name == self.address else f"{name} ({self.address})"
        self.folder = Path(self._worker.local_directory)

    def begin(self) -> str:
        """Announce that this worker runs the trial, and return ''. If another worker has begun it
        earlier, announce nothing and return that worker's name."""
        events = self._call(self._worker.scheduler.events, topic=self._token)
        for _, message in events or ():
            if message["what"] == "began":
                return str(message["worker"])
        message = {"what": "began", "token": self._token, "worker": self.name}
        message["address"] = self.address
        for topic in (self._token, self._topic):
            self._call(self._worker.scheduler.log_event, topic=topic, msg=message)
        return ""

    def _call(self, function: Any, **arguments: Any) -> Any:
        return sync(self._worker.loop, function, callback_timeout=PATIENCE, **arguments)

    def stop_request(self) -> int:
        """NONE, TERM or KILL, as of the last poll; KILL if the caller cancelled the trial or
        disconnected, or the worker is closing."""
        task = self._worker.state.tasks.get(self._key)
        closing = self._worker.status.name in ("closing", "closed", "failed")
        if task is None or task.state == "cancelled" or closing:
            return KILL
        if self._poll is not None and self._poll.done():
            events = self._poll.result() if self._poll.exception() is None else None
            for _, message in events or ():
                if message["what"] == "stop":
                    self._requested = max(self._requested, KILL if message["kill"] else TERM)
            self._poll = None
        elif self._poll is None and time.monotonic() - self._polled_at >= PERIOD:
            self._polled_at = time.monotonic()
            events = self._worker.scheduler.events(topic=self._token)
            loop: asyncio.AbstractEventLoop = self._worker.loop.asyncio_loop
            self._poll = asyncio.run_coroutine_threadsafe(events, loop)
        return self._requested

    def report_if_due(self, trial: Supervised) -> None:
        """Send the trial's progress to the caller, at most once a period."""
        if time.monotonic() - self._reported_at >= PERIOD:
            self._reported_at = time.monotonic()
            message = {"what": "progress", "token": self._token, "progress": dict(trial.progress())}
            self._worker.log_event(self._topic, message)


def run_remote_job(remote: RemoteJob, checkpoint: bytes | None = None) -> Reply:
    """Run a trial here unless it was begun before, and return the reply, which has the files that
    the trial left.

    checkpoint  content of the checkpoint to go on from; None: begin anew
    """
    link = CallerLink(remote["token"], remote["topic"])
    before = link.begin()
    if before:
        return {"worker": link.name, "again": before}
    # what Dask's nanny sets in the environment (allocator threshold, thread counts) is removed, so
    # that a trial is measured as it would be locally
    for name, value in dask.config.get("distributed.nanny.pre-spawn-environ", {}).items():
        if os.environ.get(name) == str(value):
            del os.environ[name]
    scratch = Path(tempfile.mkdtemp(prefix="sparsebench-", dir=link.folder))
    try:
        job = Job.from_json(remote["job"])
        plugins = _checked_plugins(remote, job.trial, link.folder)
        resume_from = scratch / CHECKPOINT if checkpoint is not None else None
        if resume_from is not None and checkpoint is not None:
            resume_from.write_bytes(checkpoint)
        job = replace(
            job,
            folder=scratch / Path(remote["attempt"]).name,
            data_dir=job.data_dir if remote["data_dir"] else data_directory(),
            plugin_files=plugins.files,
            cores=None,
            numba_cache=cache_folder(job.trial, plugins),
            resume_from=resume_from,
        )
        outcome = _run(job, plugins, remote, link)
        files, left = packed(job.folder) if job.folder.is_dir() else ({}, [])
    except Refused as refused:
        return {"worker": link.name, "refused": impersonal(str(refused))}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {
        "worker": link.name,
        "address": link.address,
        "outcome": {"machine": machine.describe(), **outcome},
        "files": files,
        "left": left,
    }


# --- the checks ------------------------------------------------------------------------------


def _checked_plugins(remote: RemoteJob, trial: Trial, folder: Path) -> Plugins:
    """This worker's plugins, if versions, data and code agree with the caller's. Raises Refused
    otherwise, in a line that names both sides.

    folder  of the worker; the caller's plugin files are written there
    """
    _compare_versions(remote["here"], required_versions())
    data_dir = data_directory(Path(remote["data_dir"]) if remote["data_dir"] else None)
    files = tuple(_written(name, text, folder) for name, text in remote["plugin_files"])
    try:
        plugins = _plugins_with_data(remote, trial, files, data_dir)
        forget_sources()
        here = code(trial, plugins)
    except SparsebenchError as error:
        raise Refused(str(error)) from None
    _compare_versions(remote["versions"], here["versions"])
    if here["code"] != remote["code"]:
        raise Refused(
            f"the sources of sparsebench or of a plugin differ (code {here['code'][:12]} there, "
            f"{remote['code'][:12]} here); install there what is here"
        )
    return plugins


def _compare_versions(caller: Mapping[str, str], worker: Mapping[str, str]) -> None:
    """Raise Refused if versions differ. The caller reads the message: `there` is the worker."""
    names = [name for name in {**caller, **worker} if caller.get(name) != worker.get(name)]
    if names:
        text = ", ".join(f"{n} {worker.get(n, 'none')} there, {caller.get(n)} here" for n in names)
        raise Refused(f"{text}; install there what is here")


def _plugins_with_data(
    remote: RemoteJob, trial: Trial, files: tuple[Path, ...], data_dir: Path
) -> Plugins:
    """The plugins. Fetches the data set if it is not here and is known to OpenML. Raises Refused if
    it stays missing or is not the same as the caller's."""
    plugins, found = _load(trial, files, data_dir)
    if "missing" in found and remote["place"] is not None:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"{data_dir} cannot be written: {error.strerror}") from None
        with FileLock(data_dir / ".fetch.lock"):  # one worker of a machine fetches
            fetch(trial.dataset["name"], **remote["place"], data_dir=data_dir)
        plugins, found = _load(trial, files, data_dir)
    if "missing" in found:
        raise Refused(found["missing"])
    if found != trial.data:
        name = trial.dataset["name"]
        raise Refused(f"data set {name!r} is another: {found} there, {trial.data} here")
    return plugins


def _load(
    trial: Trial, files: tuple[Path, ...], data_dir: Path
) -> tuple[Plugins, Mapping[str, Any]]:
    """The plugins, and the identity of the data set after its file has been verified; instead of
    the identity {"missing": why} if it is not here."""
    with _loading:
        plugins = load_plugins(files, data_dir)
    values = dict(trial.dataset)
    name = values.pop("name")
    if name not in plugins["dataset"]:
        return plugins, {"missing": f"data set {name!r} is not in {data_dir}"}
    entry = plugins.entry("dataset", name)
    found, listing = identity(entry, values), listing_of(entry.target)
    if listing is not None and "missing" not in found:
        listing.verify()
    return plugins, found


def _written(name: str, text: str, folder: Path) -> Path:
    """Write a plugin file under its own name, in a folder named by a hash of its text, so that an
    edited file is imported anew. Returns its path."""
    home = folder / "plugins" / hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    file = home / Path(name).name
    home.mkdir(parents=True, exist_ok=True)
    if not file.is_file() or file.read_text() != text:
        file.write_text(text)
    return file


# --- the trial -------------------------------------------------------------------------------


def _run(job: Job, plugins: Plugins, remote: RemoteJob, link: CallerLink) -> Mapping[str, Any]:
    """Compile its kernels, run the trial, and return its outcome. The status is `interrupted` if
    the caller stopped it before it began, or if its code changed while it ran."""
    _compile(job, plugins, link)
    interrupted = {"status": str(Status.INTERRUPTED), "cause": ""}
    if link.stop_request():
        return {**interrupted, "detail": "stopped before it began"}
    outcome = _supervise(job, link)
    forget_sources()
    if sources(job.trial, plugins)["code"] != remote["code"]:
        changed = f"its code on worker {link.name} changed while it ran: nobody knows what it ran"
        return {**outcome, **interrupted, "detail": changed}
    return outcome


def _supervise(job: Job, link: CallerLink) -> Mapping[str, Any]:
    """Supervise a trial's process to its end. No exception leaves the process running."""
    trial = Supervised(job)
    try:
        while (outcome := trial.poll()) is None:
            requested = link.stop_request()
            if requested:
                trial.stop(kill=requested == KILL)
            link.report_if_due(trial)
            wait([trial])
        return outcome
    finally:
        while trial.poll() is None:
            trial.stop(kill=True)
            wait([trial])


def _compile(job: Job, plugins: Plugins, link: CallerLink) -> None:
    """Compile the trial's kernels, once per worker, so that compilation is not measured. A file
    lock lets one worker of a machine compile at a time. A failure is ignored here, because the
    trial itself then fails in the same way."""
    if job.compile_for or job.numba_cache is None:
        return
    kinds = [without_magnitudes(getattr(job.trial, kind)) for kind in COMPILED]
    key = canonical([str(job.numba_cache), *kinds])
    if key in _compiled or not representatives([job.trial], plugins):
        return
    job.numba_cache.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{job.numba_cache}.lock")
    while not link.stop_request():
        try:
            with lock.acquire(timeout=0.2):
                folder = job.folder.with_name(f"{job.folder.name}-compile")
                plain = replace(job, folder=folder, probe=None, ladders=(), resume_from=None)
                _supervise(compile_job(plain), link)
                _compiled.add(key)
                return
        except Timeout:
            continue
