"""On a worker: an errand from its arrival to the reply. The trial itself is our supervisor's."""

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
from sparsebench.core.job import Job
from sparsebench.core.status import Status
from sparsebench.core.trial import canonical
from sparsebench.core.worker.file_names import CHECKPOINT
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
from sparsebench_dask.errand import Errand, Reply, packed
from sparsebench_dask.line import KILL, Line
from sparsebench_dask.verifying import Refused, verified

_compiled: set[str] = set()
"""What this worker has compiled, or found compiled."""

STOPPED = {"status": str(Status.INTERRUPTED), "cause": "", "detail": "stopped before it began"}


def run_errand(errand: Errand, checkpoint: bytes | None = None) -> Reply:
    """Run a trial here, unless a worker has begun it before. The files it left come along."""
    line = Line(errand["token"], errand["topic"])
    before = line.begin()
    if before:
        return {"worker": line.name, "again": before}
    _forget_the_nanny()
    home = Path(line.folder)
    scratch = Path(tempfile.mkdtemp(prefix="sparsebench-", dir=home))
    try:
        job = Job.from_json(errand["job"])
        plugins = verified(errand, job.trial, home)
        job = _for_here(job, errand, plugins, scratch, checkpoint)
        outcome = _outcome(job, plugins, errand, line)
        files, left = packed(job.folder) if job.folder.is_dir() else ({}, [])
    except Refused as refused:
        return {"worker": line.name, "refused": impersonal(str(refused))}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    told = {"worker": line.name, "address": line.address}
    outcome = {"machine": machine.describe(), **outcome}
    return {**told, "outcome": outcome, "files": files, "left": left}


def _for_here(
    job: Job, errand: Errand, plugins: Plugins, scratch: Path, checkpoint: bytes | None
) -> Job:
    """The caller's job with the folders of this worker. The kernel chooses its cores."""
    resume_from = None
    if checkpoint is not None:
        resume_from = scratch / CHECKPOINT
        resume_from.write_bytes(checkpoint)
    return replace(
        job,
        folder=scratch / Path(errand["attempt"]).name,
        data_dir=job.data_dir if errand["data_dir"] else machine.data_directory(),
        plugin_files=plugins.files,
        cores=None,
        numba_cache=compiled_code(job.trial, plugins),
        resume_from=resume_from,
    )


def _outcome(job: Job, plugins: Plugins, errand: Errand, line: Line) -> Mapping[str, Any]:
    _compile(job, plugins, line)
    if line.wish():
        return STOPPED
    outcome = _to_end(job, line)
    forget_sources()
    if sources(job.trial, plugins)["code"] != errand["code"]:
        changed = f"its code on worker {line.name} changed while it ran: nobody knows what it ran"
        return {**outcome, "status": str(Status.INTERRUPTED), "cause": "", "detail": changed}
    return outcome


def _to_end(job: Job, line: Line) -> Mapping[str, Any]:
    """Supervise a process to its end; whatever happens here, none is left."""
    trial = Supervised(job)
    try:
        while (outcome := trial.poll()) is None:
            wish = line.wish()
            if wish:
                trial.stop(kill=wish == KILL)
            if line.may_tell():
                line.tell(trial.progress())
            wait([trial])
        return outcome
    finally:
        while trial.poll() is None:
            trial.stop(kill=True)
            wait([trial])


def _compile(job: Job, plugins: Plugins, line: Line) -> None:
    """What this worker has not compiled yet, so that no trial is measured while it compiles. Of
    the workers of a machine one at a time does it. How it failed, the trial shows."""
    if job.compile_for or job.numba_cache is None:
        return
    kinds = [without_magnitudes(getattr(job.trial, kind)) for kind in COMPILED]
    key = canonical([str(job.numba_cache), *kinds])
    if key in _compiled or not representatives([job.trial], plugins):
        return
    job.numba_cache.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{job.numba_cache}.lock")
    while not line.wish():
        try:
            with lock.acquire(timeout=0.2):
                folder = job.folder.with_name(f"{job.folder.name}-compile")
                plain = replace(job, folder=folder, probe=None, ladders=(), resume_from=None)
                _to_end(compile_job(plain), line)
                _compiled.add(key)
                return
        except Timeout:
            continue


def _forget_the_nanny() -> None:
    """What Dask sets for its own workers (a threshold of the allocator, thread counts) is not to
    reach a trial: it is to be measured as it is locally."""
    for name, value in dask.config.get("distributed.nanny.pre-spawn-environ", {}).items():
        if os.environ.get(name) == str(value):
            del os.environ[name]
