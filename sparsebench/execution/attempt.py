"""One attempt at a trial, in the process made for it: from a job to a result.json."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from sparsebench.auditing.sizes import Sizes
from sparsebench.discovery import load_plugins
from sparsebench.execution import limits
from sparsebench.execution.assembling import assemble, build, prepare, warm_up
from sparsebench.execution.auditing import EVIDENCE
from sparsebench.execution.classify import NO_DISK
from sparsebench.execution.failing import disk_failure, failure
from sparsebench.execution.flushed import flushed, threading_layer
from sparsebench.execution.job import Job
from sparsebench.execution.keeping import Checkpoints
from sparsebench.execution.outbox import Outbox
from sparsebench.execution.surveying import RATES
from sparsebench.measuring.meter import Meter
from sparsebench.records.durable import write_atomically
from sparsebench.records.kept import MODEL
from sparsebench.records.record import Status

if TYPE_CHECKING:
    from sparsebench.training.data import TrialData
    from sparsebench.training.work import Result

POOL_FACTS = ("internal_api", "prefix", "version", "architecture", "num_threads",
              "threading_layer")  # fmt: skip
"""Of a threading pool, what is told: no paths."""


def attempt(job: Job) -> int:
    """Leave a result.json. Returns the exit code: 0, 1 after an exception, or NO_DISK where not
    even that could be written."""
    limits.apply(job)
    meter = Meter()
    outbox = Outbox(job.folder, meter, job.trial.epochs)
    try:
        if job.ladders:
            outbox.result(time_layers(job, meter))
        elif job.probe is not None:
            outbox.result(probe_layers(job, job.probe, meter))
        elif job.compile_only:
            outbox.result(compile_only(job, meter))
        else:
            outbox.result(run(job, meter, outbox))
    except Exception as error:
        with limits.memory_to_report():
            with contextlib.suppress(OSError):  # stderr goes to the disk that may be full
                traceback.print_exception(error)
            error.__traceback__ = None
            return report(error, job, meter, outbox)
    return 0


def report(error: Exception, job: Job, meter: Meter, outbox: Outbox) -> int:
    """Tell how the attempt failed, and what it took until then."""
    try:
        outbox.result({**failure(error, job.folder), **measured(meter)})
    except OSError as refused:
        if disk_failure(refused, job.folder) is None:
            raise
        return NO_DISK
    return 1


def run(job: Job, meter: Meter, outbox: Outbox) -> dict[str, Any]:
    """Train the network of the job; what it gave, as the fields of a record."""
    trial = job.trial
    with meter.phase("import"):
        parts = build(trial, load_plugins(job.plugin_files, job.data_dir))
    with meter.phase("data"):
        data = prepare(parts, trial)
    outbox.steps = trial.epochs * math.ceil(len(data.train.labels) / trial.batch_size)
    keeper = Checkpoints(job, meter) if wants_checkpoints(job) else None
    work = replace(assemble(parts, trial, data, meter, outbox), keeper=keeper)
    with meter.phase("warmup"):
        warm_up(parts, work)
    denormals = flushed()
    meter.set_baseline()
    result: Result = parts.trainer.run(work)
    told = measured(meter)
    told["measures"] = {**result.measures, **told["measures"]}
    told["settings"] |= denormals
    if hasattr(parts.backend, "truly_sparse"):
        told["settings"]["truly_sparse"] = bool(parts.backend.truly_sparse)
    if keeper is not None:
        told["settings"] |= keeper.told()["settings"]
        told["measures"] |= keeper.told()["measures"]
    if not result.diverged:
        leave_model(job, data, result)
    return {
        "status": Status.DIVERGED if result.diverged else Status.OK,
        "layers": result.layers,
        "data_fingerprint": data.fingerprint,
        **told,
    }


def wants_checkpoints(job: Job) -> bool:
    return job.trial.checkpoint is not None or job.resume_from is not None


def leave_model(job: Job, data: TrialData, result: Result) -> None:
    """The trained network, after everything is measured. A disk that is full loses no record."""
    from sparsebench.training.model_file import keep_model

    if not hasattr(result.network, "parameters"):
        return  # of a trainer that trains none, or of a model that does not tell
    try:
        keep_model(job.folder / MODEL, job.trial, data, result.network)
    except OSError as error:
        print(f"the trained network is not kept: {error}", file=sys.stderr)  # noqa: T201


def compile_only(job: Job, meter: Meter) -> dict[str, Any]:
    """Fill the cache of compiled code; the warm-up looks at no data."""
    with meter.phase("import"):
        parts = build(job.trial, load_plugins(job.plugin_files, job.data_dir))
    with meter.phase("warmup"):
        warm_up(parts, assemble(parts, job.trial, cast("TrialData", None), meter, None))
        flushed()
    return {"status": Status.OK, **measured(meter)}


def time_layers(job: Job, meter: Meter) -> dict[str, Any]:
    """Leave a rates.json; no data is looked at."""
    from sparsebench.planning.timing import time_ladder

    with meter.phase("import"):
        parts = build(job.trial, load_plugins(job.plugin_files, job.data_dir))
    work = assemble(parts, job.trial, cast("TrialData", None), meter, None)
    with meter.phase("warmup"):
        warm_up(parts, work)
    rates = [time_ladder(work, ladder) for ladder in job.ladders]
    write_atomically(job.folder / RATES, json.dumps(rates))
    return {"status": Status.OK, **measured(meter)}


def probe_layers(job: Job, sizes: Sizes, meter: Meter) -> dict[str, Any]:
    """Leave an evidence.json; no data is looked at, and the network is none of the trial's."""
    from sparsebench.auditing.probe import probe

    with meter.phase("import"):
        plugins = load_plugins(job.plugin_files, job.data_dir)
        backend = plugins.build("backend", job.trial.backend)
        optimizer = plugins.build("optimizer", job.trial.optimizer)
    evidence = probe(backend, optimizer, sizes)
    write_atomically(job.folder / EVIDENCE, json.dumps(evidence.to_json()))
    return {"status": Status.OK, **measured(meter)}


# --- what is told --------------------------------------------------------------------


def measured(meter: Meter) -> dict[str, Any]:
    """The fields of a record that the meter knows."""
    measures: dict[str, float | int | None] = {
        "peak_rss_bytes": meter.peak_rss_bytes(),
        "net_peak_bytes": meter.net_peak_bytes(),
    }
    if "warmup" in meter.phases:
        measures["warmup_seconds"] = meter.phases["warmup"]["seconds"]
    settings = {
        "memory_method": meter.method,
        "exact": meter.exact,
        "baseline_rss_bytes": meter.baseline,
        **libraries(),
    }
    return {"measures": measures, "phases": meter.phases, "settings": settings}


def libraries() -> dict[str, Any]:
    """The linear algebra and threading libraries that were loaded; loads none."""
    told: dict[str, Any] = {}
    if "numpy" in sys.modules:
        import threadpoolctl  # type: ignore[import-untyped]

        told["blas"] = [
            {key: pool[key] for key in POOL_FACTS if pool.get(key) is not None}
            for pool in threadpoolctl.threadpool_info()
        ]
    if "numba" in sys.modules:
        told["threading_layer"] = threading_layer()
    return told
