"""One attempt at a trial, in the process made for it: from a job to a result.json."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sparsebench.auditing.sizes import Sizes
from sparsebench.discovery import load_plugins
from sparsebench.errors import MissingData, SparsebenchError, Unsupported
from sparsebench.execution import limits
from sparsebench.execution.auditing import EVIDENCE
from sparsebench.execution.classify import NO_DISK
from sparsebench.execution.flushed import flushed, threading_layer
from sparsebench.execution.job import Job
from sparsebench.execution.keeping import Checkpoints
from sparsebench.execution.meter import Meter
from sparsebench.execution.outbox import Outbox
from sparsebench.execution.surveying import RATES
from sparsebench.records.durable import write_atomically
from sparsebench.records.kept import MODEL
from sparsebench.records.record import Status
from sparsebench.registry import Plugins
from sparsebench.suite.trial import Trial

if TYPE_CHECKING:
    from sparsebench.training.data import TrialData
    from sparsebench.training.work import Result, Work

POOL_FACTS = ("internal_api", "prefix", "version", "architecture", "num_threads",
              "threading_layer")  # fmt: skip
"""Of a threading pool, what is told: no paths."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


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

    if result.network is None:
        return
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


# --- the steps -----------------------------------------------------------------------


@dataclass(frozen=True)
class Components:
    """The parts of a trial, built."""

    dataset: Any
    model: Any
    topology: Any
    pruning: Any
    optimizer: Any
    trainer: Any
    backend: Any


def build(trial: Trial, plugins: Plugins) -> Components:
    """The pruning is said with the topology, and is a component of its own."""
    topology = dict(trial.topology)
    pruning = topology.pop("prune", None)
    return Components(
        dataset=plugins.build("dataset", trial.dataset),
        model=plugins.build("model", trial.model),
        topology=plugins.build("topology", topology),
        pruning=plugins.build("pruning", pruning) if pruning else None,
        optimizer=plugins.build("optimizer", trial.optimizer),
        trainer=plugins.build("trainer", trial.trainer),
        backend=plugins.build("backend", trial.backend),
    )


def prepare(parts: Components, trial: Trial) -> TrialData:
    from sparsebench.training.data import prepare as prepare_data

    return prepare_data(
        parts.dataset.load(),
        seed=trial.seed,
        split_seed=trial.split_seed,
        validation=trial.validation,
    )


def assemble(
    parts: Components, trial: Trial, data: TrialData, meter: Meter, outbox: Outbox | None
) -> Work:
    from sparsebench.training.work import Work

    listening: dict[str, Any] = {}
    if outbox is not None:
        listening = {"report": outbox.epoch, "progress": outbox.progress}
    return Work(
        model=parts.model,
        backend=parts.backend,
        topology=parts.topology,
        pruning=parts.pruning,
        optimizer=parts.optimizer,
        data=data,
        epochs=trial.epochs,
        batch_size=trial.batch_size,
        seed=trial.seed,
        meter=meter,
        **listening,
    )


def warm_up(parts: Components, work: Work) -> None:
    """Compile on a throwaway network, where the trainer knows how."""
    if hasattr(parts.trainer, "warm_up"):
        parts.trainer.warm_up(work)


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


def failure(error: BaseException, folder: Path) -> Mapping[str, str]:
    """Status, cause and detail of an exception. That the disk of the attempt's folder failed
    says nothing of the trial: it is interrupted, and runs again."""
    if isinstance(error, KeyboardInterrupt):
        return {"status": Status.INTERRUPTED, "cause": "", "detail": "stopped before its end"}
    kind = type(error).__name__
    line = (str(error).strip().splitlines() or [""])[-1]
    if any(out_of_memory(link) for link in chain(error)):
        return {"status": Status.OUT_OF_MEMORY, "cause": "alloc", "detail": f"{kind}: {line}"}
    refused = disk_failure(error, folder)
    if refused is not None:
        detail = f"the disk of {folder} failed: {refused.strerror}"
        return {"status": Status.INTERRUPTED, "cause": "", "detail": detail}
    if isinstance(error, MissingData):
        return {"status": Status.SKIPPED, "cause": "", "detail": str(error)}
    if isinstance(error, Unsupported):
        return {"status": Status.UNSUPPORTED, "cause": "", "detail": str(error)}
    if isinstance(error, SparsebenchError):
        return {"status": Status.ERROR, "cause": kind, "detail": str(error)}
    return {"status": Status.ERROR, "cause": kind, "detail": line}


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )


def disk_failure(error: BaseException, folder: Path) -> OSError | None:
    """The link of an exception's chain that tells of a failed disk, if it is not that of a file
    elsewhere."""
    for link in chain(error):
        if isinstance(link, OSError) and link.errno in DISK_ERRORS:
            file = link.filename
            if not isinstance(file, str | os.PathLike) or Path(file).is_relative_to(folder):
                return link
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those it came from: kernels wrap a MemoryError in a SystemError."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        link = pending.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            pending += [link.__cause__, link.__context__]
