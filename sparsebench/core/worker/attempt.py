"""One attempt at a trial, in the process made for it: from a job to a result.json."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sparsebench.core.audit.sizes import Sizes
from sparsebench.core.data.dataset import require_same_data
from sparsebench.core.files import write_atomically
from sparsebench.core.job import Job
from sparsebench.core.methods.protocols import Topology
from sparsebench.core.status import FAILURES, Status
from sparsebench.core.worker import limits, mpiexec
from sparsebench.core.worker.assemble import assemble, build, prepare, warm_up
from sparsebench.core.worker.checkpointing import Checkpoints
from sparsebench.core.worker.classify import NO_DISK
from sparsebench.core.worker.denormals_check import flushed, threading_layer
from sparsebench.core.worker.error_status import disk_failure, failure
from sparsebench.core.worker.file_names import EVIDENCE, MODEL, RATES
from sparsebench.core.worker.meter import Meter
from sparsebench.core.worker.rank_costs import add_up, own_costs
from sparsebench.core.worker.result_writer import ResultWriter
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, Unsupported

if TYPE_CHECKING:
    from sparsebench.core.data.examples import TrialData
    from sparsebench.core.training.work import Result
    from sparsebench.core.worker.rank_log import RankLog
    from sparsebench.core.worker.team import MpiTeam

POOL_FACTS = ("internal_api", "prefix", "version", "architecture", "num_threads",
              "threading_layer")  # fmt: skip
"""Of a threading pool, what is told: no paths."""


def attempt(job: Job, team: MpiTeam | None = None, log: RankLog | None = None) -> int:
    """Leave a result.json. Returns the exit code: 0, 1 after an exception, or NO_DISK where not
    even that could be written.

    team   the processes of the trial, if there are several; what they have in common is left by
           the first, what ends them by the one that it happened to
    log  of this one of them
    """
    limits.apply(job)
    meter = Meter()
    writer = ResultWriter(job.folder, meter, job.trial.epochs, log)
    try:
        require_team(job, team)
        if job.ladders:
            writer.result(time_layers(job, meter))
        elif job.probe is not None:
            writer.result(probe_layers(job, job.probe, meter))
        elif job.compile_for:
            writer.result(compile_kernels(job, meter))
        else:
            result = run(job, meter, writer, team)
            if team is None or team.rank == 0:
                writer.result(result)
    except Exception as error:
        if team is not None:
            team.hear_out(error)
        with limits.memory_to_report():
            with contextlib.suppress(OSError):  # stderr goes to the disk that may be full
                traceback.print_exception(error)
            error.__traceback__ = None
            return report(error, job, meter, writer, team)
    return 0


def require_team(job: Job, team: MpiTeam | None) -> None:
    """Raises Unsupported where the processes that the trial is to have are not there."""
    if job.processes == 1:
        return
    missing = mpiexec.missing()
    if missing:
        raise Unsupported(f"trainer {job.trial.trainer['name']!r} {missing}")
    if team is None or team.size != job.processes:
        library = f"mpi4py's library ({team.library()})" if team is not None else "mpi4py"
        raise Unsupported(
            f"{mpiexec.found()} was to start {job.processes} processes that know of each other, "
            f"and {library} does not: both have to be of one MPI; get one with: {mpiexec.GET}"
        )


def report(
    error: Exception, job: Job, meter: Meter, writer: ResultWriter, team: MpiTeam | None = None
) -> int:
    """Tell how the attempt failed, and what it took until then: of several processes, which, and
    nothing of the net peak, as that of the others is not known."""
    told = {**failure(error, job.folder), **measured(meter)}
    if team is not None:
        told["measures"].pop("net_peak_bytes")
        if told["status"] in FAILURES:
            told["detail"] = f"{team.name}: {told['detail']}"
    try:
        writer.result(told)
    except OSError as refused:
        if disk_failure(refused, job.folder) is None:
            raise
        return NO_DISK
    return 1


def run(
    job: Job, meter: Meter, writer: ResultWriter, team: MpiTeam | None = None
) -> dict[str, Any]:
    """Train the network of the job; what it gave, as the fields of a record. Of several processes
    only the first has something to tell; checkpoints are its affair."""
    trial = job.trial
    with meter.phase("import"):
        parts = build(trial, load_plugins(job.plugin_files, job.data_dir))
    with meter.phase("data"):
        try:
            data = prepare(parts, trial)
        except SparsebenchError:  # a file that is replaced may be found half written
            require_same_data(parts.dataset, trial)
            raise
        require_same_data(parts.dataset, trial)
    writer.steps = trial.epochs * math.ceil(len(data.train) / trial.batch_size)
    writer.primary = f"test_{parts.objective.scores[0].name}"
    first = team is None or team.rank == 0
    keeper = None
    if wants_checkpoints(job) and first:
        shapes = parts.model.shapes(data.features, data.outputs) if job.resume_from else ()
        keeper = Checkpoints(job, meter, shapes)
    work = replace(assemble(parts, trial, data, meter, writer), keeper=keeper, team=team)
    if hasattr(parts.trainer, "fork"):
        work = parts.trainer.fork(work)
    with meter.phase("warmup"):
        warm_up(parts, work)
    denormals = flushed()
    meter.set_baseline()
    trained: Result | None = parts.trainer.run(work)
    told = measured(meter)
    if team is not None:
        rows = team.gather(own_costs(meter))
        if not first:
            return {}
        told = add_up(told, rows)
    result = cast("Result", trained)
    told["measures"] = {**writer.metrics, **result.measures, **told["measures"]}
    told["settings"] |= {**denormals, "primary": writer.primary}
    if hasattr(parts.backend, "truly_sparse"):
        told["settings"]["truly_sparse"] = bool(parts.backend.truly_sparse)
    if isinstance(parts.topology, Topology) and parts.topology.needs.scans:
        told["settings"]["scans"] = True
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
    from sparsebench.core.training.model_file import keep_model

    if not hasattr(result.network, "parameters"):
        return  # of a trainer that trains none, or of a model that does not tell
    try:
        keep_model(job.folder / MODEL, job.trial, data, result.network)
    except OSError as error:
        print(f"the trained network is not kept: {error}", file=sys.stderr)  # noqa: T201


def compile_kernels(job: Job, meter: Meter) -> dict[str, Any]:
    """Fill the cache of compiled code; the warm-up looks at no data.

    A trial that fails does not keep the others from being compiled: the first error is raised at
    the end.
    """
    failures: list[Exception] = []
    with meter.phase("import"):
        plugins = load_plugins(job.plugin_files, job.data_dir)
    with meter.phase("warmup"), locked_saves(job.numba_cache):
        for trial in job.compile_for:
            try:
                parts = build(trial, plugins)
                warm_up(parts, assemble(parts, trial, cast("TrialData", None), meter, None))
            except Exception as error:
                failures.append(error)
        flushed()
    if failures:
        raise failures[0]
    return {"status": Status.OK, **measured(meter)}


@contextlib.contextmanager
def locked_saves(cache: Path | None) -> Iterator[None]:
    """Let one process at a time save compiled code below the folder of `cache`.

    numba reads a function's index, numbers the new file by it and rewrites both without a lock,
    so two processes that save the same function at once could swap its code.
    """
    if cache is None or not cache.parent.is_dir():
        yield
        return
    from filelock import FileLock
    from numba.core.caching import IndexDataCacheFile

    save: Any = IndexDataCacheFile.save
    lock = FileLock(cache.parent / "save.lock")

    def locked_save(file: Any, key: Any, data: Any) -> None:
        with lock:
            save(file, key, data)

    setattr(IndexDataCacheFile, "save", locked_save)  # noqa: B010
    try:
        yield
    finally:
        setattr(IndexDataCacheFile, "save", save)  # noqa: B010


def time_layers(job: Job, meter: Meter) -> dict[str, Any]:
    """Leave a rates.json; no data is looked at."""
    from sparsebench.core.worker.layer_timing import time_ladder

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
    from sparsebench.core.audit.probe import probe

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
    """The linear algebra and threading libraries that were loaded, and how OpenMP's threads wait
    in them, None: as they come; loads none."""
    told: dict[str, Any] = {"omp_wait_policy": os.environ.get(limits.WAIT_POLICY)}
    if "numpy" in sys.modules:
        import threadpoolctl  # type: ignore[import-untyped]

        told["blas"] = [
            {key: pool[key] for key in POOL_FACTS if pool.get(key) is not None}
            for pool in threadpoolctl.threadpool_info()
        ]
    if "numba" in sys.modules:
        told["threading_layer"] = threading_layer()
    return told
