"""The worker's side: runs a remote job under our own supervisor and replies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
from filelock import FileLock, Timeout

from sparsebench import machine
from sparsebench.core.job import CHECKPOINT, Job
from sparsebench.core.status import Status
from sparsebench.core.trial import canonical
from sparsebench.registry import Plugins
from sparsebench.run.context import wait
from sparsebench.run.fingerprint import COMPILED, forget_sources, sources
from sparsebench.run.kernel_cache import (
    compile_job,
    compiled_code,
    representatives,
    without_magnitudes,
)
from sparsebench.run.supervisor import Supervised
from sparsebench.store.provenance import impersonal
from sparsebench_dask.remote_job import RemoteJob, Reply, packed
from sparsebench_dask.worker_checks import Refused, checked_plugins
from sparsebench_dask.worker_link import KILL, WorkerLink

_compiled: set[str] = set()
"""Keys of the kernels that are compiled on this worker."""

STOPPED = {"status": str(Status.INTERRUPTED), "cause": "", "detail": "stopped before it began"}


def run_remote_job(remote: RemoteJob, checkpoint: bytes | None = None) -> Reply:
    """Run a trial here unless another worker has begun it; reply with the files it left."""
    link = WorkerLink(remote["token"], remote["topic"])
    before = link.begin()
    if before:
        return {"worker": link.name, "again": before}
    _forget_the_nanny()
    home = Path(link.folder)
    scratch = Path(tempfile.mkdtemp(prefix="sparsebench-", dir=home))
    try:
        job = Job.from_json(remote["job"])
        plugins = checked_plugins(remote, job.trial, home)
        job = _for_here(job, remote, plugins, scratch, checkpoint)
        outcome = _outcome(job, plugins, remote, link)
        files, left = packed(job.folder) if job.folder.is_dir() else ({}, [])
    except Refused as refused:
        return {"worker": link.name, "refused": impersonal(str(refused))}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sender = {"worker": link.name, "address": link.address}
    outcome = {"machine": machine.describe(), **outcome}
    return {**sender, "outcome": outcome, "files": files, "left": left}


def _for_here(
    job: Job, remote: RemoteJob, plugins: Plugins, scratch: Path, checkpoint: bytes | None
) -> Job:
    """The caller's job with this worker's folders, not pinned to cores."""
    resume_from = None
    if checkpoint is not None:
        resume_from = scratch / CHECKPOINT
        resume_from.write_bytes(checkpoint)
    return replace(
        job,
        folder=scratch / Path(remote["attempt"]).name,
        data_dir=job.data_dir if remote["data_dir"] else machine.data_directory(),
        plugin_files=plugins.files,
        cores=None,
        numba_cache=compiled_code(job.trial, plugins),
        resume_from=resume_from,
    )


def _outcome(job: Job, plugins: Plugins, remote: RemoteJob, link: WorkerLink) -> Mapping[str, Any]:
    _compile(job, plugins, link)
    if link.stop_request():
        return STOPPED
    outcome = _to_end(job, link)
    forget_sources()
    if sources(job.trial, plugins)["code"] != remote["code"]:
        changed = f"its code on worker {link.name} changed while it ran: nobody knows what it ran"
        return {**outcome, "status": str(Status.INTERRUPTED), "cause": "", "detail": changed}
    return outcome


def _to_end(job: Job, link: WorkerLink) -> Mapping[str, Any]:
    """Supervise a trial's process to its end. No exception leaves the process running."""
    trial = Supervised(job)
    try:
        while (outcome := trial.poll()) is None:
            requested = link.stop_request()
            if requested:
                trial.stop(kill=requested == KILL)
            if link.report_due():
                link.report(trial.progress())
            wait([trial])
        return outcome
    finally:
        while trial.poll() is None:
            trial.stop(kill=True)
            wait([trial])


def _compile(job: Job, plugins: Plugins, link: WorkerLink) -> None:
    """Compile the trial's kernels, once per worker, so that compilation is not measured. A file
    lock lets one worker of a machine compile at a time. The trial itself shows a failure."""
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
                _to_end(compile_job(plain), link)
                _compiled.add(key)
                return
        except Timeout:
            continue


def _forget_the_nanny() -> None:
    """Remove what Dask's nanny sets in the environment (allocator threshold, thread counts), so
    that a trial is measured as it would be locally."""
    for name, value in dask.config.get("distributed.nanny.pre-spawn-environ", {}).items():
        if os.environ.get(name) == str(value):
            del os.environ[name]
