"""One attempt at a trial, in the process made for it: from a job to a result.json."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sparsebench.core.data.dataset import require_same_data
from sparsebench.core.files import write_atomically
from sparsebench.core.job import EVIDENCE, MODEL, RATES, Job
from sparsebench.core.methods.protocols import Topology
from sparsebench.core.observer import why_unobservable
from sparsebench.core.sizes import SizedDataset, updates_in_time
from sparsebench.core.status import FAILURES, Status
from sparsebench.core.trial import PARTS, Trial
from sparsebench.core.worker import limits, mpi
from sparsebench.core.worker.checkpoint_writer import Checkpoints
from sparsebench.core.worker.classify import NO_DISK, chain, disk_failure, failure
from sparsebench.core.worker.denormals import flushed
from sparsebench.core.worker.meter import Meter
from sparsebench.core.worker.result_writer import ResultWriter
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, Unsupported
from sparsebench.registry import Plugins

if TYPE_CHECKING:
    from sparsebench.core.data.prepare import TrialData
    from sparsebench.core.training.work import Result, Work

POOL_FACTS = ("internal_api", "prefix", "version", "architecture", "num_threads",
              "threading_layer")  # fmt: skip
"""The facts that `threadpoolctl` reports of a thread pool and that are recorded; paths are not."""

COMPUTING = ("blas", "openmp")
"""The kinds of thread pools that are recorded. Others are left out: SciPy's reader of Matrix Market
files registers one whose `version` is a function and not JSON."""


def attempt(job: Job, team: mpi.MpiTeam | None = None, log: mpi.RankLog | None = None) -> int:
    """Run the job and write result.json. Returns the exit code: 0, 1 after an exception, or NO_DISK
    if result.json could not be written.

    team   the processes of the trial; None: there is only this one. The first process writes the
           shared result; a process in which an exception was raised reports that
    log    where this process logs its events, if there are several processes
    """
    limits.apply(job)
    meter = Meter()
    writer = ResultWriter(job.folder, meter, job.trial.epochs, log)
    try:
        require_team(job, team)
        if job.ladders:
            result = time_layers(job, meter)
        elif job.probe is not None:
            result = probe_layers(job, meter)
        elif job.compile_for:
            result = compile_kernels(job, meter)
        else:
            result = run(job, meter, writer, team)
        if team is None or team.rank == 0:
            writer.result(result)
    except Exception as error:
        if team is not None and any(isinstance(link, team.error) for link in chain(error)):
            time.sleep(mpi.ECHO)
        with limits.memory_to_report():
            with contextlib.suppress(OSError):  # stderr goes to the disk that may be full
                traceback.print_exception(error)
            error.__traceback__ = None
            return _report(error, job, meter, writer, team)
    return 0


def attempt_together(log: mpi.RankLog, finish: int) -> int:
    """Attempt a trial as one of several processes, and return the exit code.

    A process that fails ends the others; if an exception leaves this function, the monitor of the
    process ends them.

    finish  descriptor of a pipe; a byte written to it announces an orderly end to the monitor
    """
    line = sys.stdin.buffer.readline() if log.rank <= 0 else b""
    team = None
    try:
        team = mpi.MpiTeam()
    except (ImportError, RuntimeError) as error:
        print(f"mpi4py does not load: {error}", file=sys.stderr)  # noqa: T201
    if team is None or team.size == 1:  # they do not find each other
        code = attempt(Job.from_json(json.loads(line)), None, log) if line else 0
    else:
        job = Job.from_json(json.loads(team.share(line)))
        code = attempt(job, team, log._replace(rank=team.rank))
        sys.stdout.flush()
        sys.stderr.flush()
        if code:
            team.abort(code)
        team.finish()
    os.write(finish, b".")
    return code


def require_team(job: Job, team: mpi.MpiTeam | None) -> None:
    """Raise Unsupported if the trial needs several processes and they were not started."""
    if job.processes == 1:
        return
    missing = mpi.missing()
    if missing:
        raise Unsupported(f"trainer {job.trial.trainer['name']!r} {missing}")
    if team is None or team.size != job.processes:
        library = f"mpi4py's library ({team.library()})" if team is not None else "mpi4py"
        raise Unsupported(
            f"{mpi.found()} was to start {job.processes} processes that know of each other, "
            f"and {library} does not: both have to be of one MPI; get one with: {mpi.GET}"
        )


def _report(
    error: Exception, job: Job, meter: Meter, writer: ResultWriter, team: mpi.MpiTeam | None
) -> int:
    """Write how the attempt failed, and the time and memory that it took. Returns the exit code, 1
    or NO_DISK. If there are several processes, the detail names this one, and the net peak is left
    out because that of the others is not known."""
    result = {**failure(error, job.folder), **measured(meter)}
    if team is not None:
        result["measures"].pop("net_peak_bytes")
        if result["status"] in FAILURES:
            result["detail"] = f"{mpi.name_of(team.rank)}: {result['detail']}"
    try:
        writer.result(result)
    except OSError as refused:
        if disk_failure(refused, job.folder) is None:
            raise
        return NO_DISK
    return 1


# --- a training ----------------------------------------------------------------------


def run(
    job: Job, meter: Meter, writer: ResultWriter, team: mpi.MpiTeam | None = None
) -> dict[str, Any]:
    """Train the network of the job and return the fields of a record. If there are several
    processes, only the first writes checkpoints and returns fields; the others return {}."""
    trial = job.trial
    with meter.phase("import"):
        parts = build(trial, load_plugins(job.plugin_files, job.data_dir))
    with meter.phase("data"):
        try:
            data = prepare(parts, trial)
        except SparsebenchError:  # a file that is replaced may be found half written
            require_same_data(parts["dataset"], trial)
            raise
        require_same_data(parts["dataset"], trial)
    writer.steps = trial.epochs * math.ceil(len(data.train) / trial.batch_size)
    writer.primary = f"test_{parts['objective'].scores[0].name}"
    first = team is None or team.rank == 0
    keeper = None
    if first and (trial.checkpoint is not None or job.resume_from is not None):
        shapes = parts["model"].shapes(data.features, data.outputs) if job.resume_from else ()
        keeper = Checkpoints(job, meter, shapes)
    trainer = parts["trainer"]
    work = assemble(
        parts, trial, data, meter,
        report=writer.epoch, progress=writer.progress, keeper=keeper, team=team,
    )  # fmt: skip
    if hasattr(trainer, "fork"):
        work = trainer.fork(work)
    with meter.phase("warmup"):
        warm_up(parts, work)
    denormals = flushed()
    meter.set_baseline()
    trained: Result | None = trainer.run(work)
    record = measured(meter)
    if team is not None:
        rows = team.gather(mpi.own_costs(meter))
        if not first:
            return {}
        record = mpi.add_up(record, rows)
    result = cast("Result", trained)
    from sparsebench.core.training.chance_level import guess_scores

    record["measures"] = {**writer.metrics, **result.measures, **record["measures"]}
    record["settings"] |= {
        **denormals,
        "primary": writer.primary,
        "guess": {f"test_{name}": value for name, value in guess_scores(data).items()},
        "test_samples": len(data.test),
    }
    if result.computed_by:
        record["settings"]["computed_by"] = result.computed_by
    elif hasattr(parts["backend"], "truly_sparse"):
        record["settings"]["truly_sparse"] = bool(parts["backend"].truly_sparse)
    if hasattr(result.network, "step_way"):
        record["settings"]["step"] = result.network.step_way
    if data.csr:
        first_layer = getattr(result.network, "layers", [None])[0]
        takes = getattr(first_layer, "takes_csr", False)
        record["settings"]["inputs"] = "csr" if takes else "csr, each batch made dense"
    if isinstance(parts["topology"], Topology):
        needs = parts["topology"].needs
        declared = {"scans": needs.scans, "dense_start": needs.dense_start}
        record["settings"] |= {name: True for name, does in declared.items() if does}
    still = record["measures"].get("topology_seconds") == 0 and not result.diverged
    if still and updates_in_time(parts["topology"]):
        record["settings"]["never_updated"] = True
    if keeper is not None:
        record["settings"] |= keeper.settings
        record["measures"] |= keeper.earlier
    if not result.diverged and hasattr(result.network, "parameters"):
        from sparsebench.core.training.model_file import keep_model

        try:
            keep_model(job.folder / MODEL, trial, data, result.network)
        except OSError as error:
            print(f"the trained network is not kept: {error}", file=sys.stderr)  # noqa: T201
    return {
        "status": Status.DIVERGED if result.diverged else Status.OK,
        "layers": result.layers,
        "data_fingerprint": data.fingerprint,
        **record,
    }


def build(trial: Trial, plugins: Plugins) -> dict[str, Any]:
    """The components of a trial by kind. `pruning`, which a suite sets within the topology, is a
    separate component; `observers` is a dictionary by name.

    Raises Unsupported if the trainer does not support observers and the trial has some.
    """
    topology = dict(trial.topology)
    pruning = topology.pop("prune", None)
    chosen = {kind: getattr(trial, kind) for kind in PARTS} | {"topology": topology}
    parts: dict[str, Any] = {kind: plugins.build(kind, one) for kind, one in chosen.items()}
    parts["pruning"] = plugins.build("pruning", pruning) if pruning else None
    parts["observers"] = {one["name"]: plugins.build("observer", one) for one in trial.observers}
    hidden = why_unobservable(parts["trainer"], trial.trainer["name"], parts["observers"])
    if hidden is not None:
        raise Unsupported(hidden)
    return parts


def prepare(parts: Mapping[str, Any], trial: Trial) -> TrialData:
    """Load the trial's data, and split, check and scale them. Raises DataError."""
    from sparsebench.core.data.prepare import prepare as prepare_data

    return prepare_data(
        parts["dataset"].load(),
        parts["objective"],
        seed=trial.seed,
        split_seed=trial.split_seed,
        fold=trial.fold,
        validation=trial.validation,
        scaling=trial.scaling,
    )


def assemble(
    parts: Mapping[str, Any], trial: Trial, data: TrialData | None, meter: Meter, **more: Any
) -> Work:
    """The input of the trial's trainer. `data` is None for throwaway networks; `more` are further
    fields of `Work`."""
    from sparsebench.core.training.work import Work

    used = {kind: part for kind, part in parts.items() if kind not in ("dataset", "trainer")}
    dataset = parts["dataset"]
    return Work(
        **used,
        data=cast("TrialData", data),
        epochs=trial.epochs,
        batch_size=trial.batch_size,
        seed=trial.seed,
        meter=meter,
        size=dataset.size() if data is None and isinstance(dataset, SizedDataset) else None,
        **more,
    )


def warm_up(parts: Mapping[str, Any], work: Work) -> None:
    """Call the trainer's warm-up, which compiles all code on throwaway networks, if it has one."""
    if hasattr(parts["trainer"], "warm_up"):
        parts["trainer"].warm_up(work)


# --- other jobs ----------------------------------------------------------------------


def compile_kernels(job: Job, meter: Meter) -> dict[str, Any]:
    """Fill the cache of compiled code for the trials in `job.compile_for`. No data is loaded.

    If one trial fails, the others are compiled nevertheless, and the first error is raised at the
    end.
    """
    failures: list[Exception] = []
    with meter.phase("import"):
        plugins = load_plugins(job.plugin_files, job.data_dir)
    with meter.phase("warmup"), locked_saves(job.numba_cache):
        for trial in job.compile_for:
            try:
                parts = build(trial, plugins)
                warm_up(parts, assemble(parts, trial, None, meter))
            except Exception as error:
                failures.append(error)
        flushed()
    if failures:
        raise failures[0]
    return {"status": Status.OK, **measured(meter)}


@contextlib.contextmanager
def locked_saves(cache: Path | None) -> Iterator[None]:
    """Within the block, let one process at a time save compiled code below the folder of `cache`.

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
    """Time the layers of the job and write rates.json. No data is loaded."""
    from sparsebench.core.worker.layer_timing import time_ladder

    with meter.phase("import"):
        parts = build(job.trial, load_plugins(job.plugin_files, job.data_dir))
    work = assemble(parts, job.trial, None, meter)
    with meter.phase("warmup"):
        warm_up(parts, work)
    rates = [time_ladder(work, ladder) for ladder in job.ladders]
    write_atomically(job.folder / RATES, json.dumps(rates))
    return {"status": Status.OK, **measured(meter)}


def probe_layers(job: Job, meter: Meter) -> dict[str, Any]:
    """Probe layers and write evidence.json. No data is loaded, and the layers have other sizes than
    the trial's."""
    from sparsebench.core.audit.probe import probe, probe_all

    assert job.probe is not None
    sizes = job.probe
    with meter.phase("import"):
        plugins = load_plugins(job.plugin_files, job.data_dir)
        if sizes.network:
            parts = build(job.trial, plugins)
        else:
            backend = plugins.build("backend", job.trial.backend)
            optimizer = plugins.build("optimizer", job.trial.optimizer)
    if sizes.network:
        from sparsebench.core.audit.network_probe import NetworkSubject

        work = assemble(parts, job.trial, None, meter)
        evidence = probe_all(lambda shape: NetworkSubject(work, shape, sizes), sizes)
    else:
        evidence = probe(backend, optimizer, sizes)
    write_atomically(job.folder / EVIDENCE, json.dumps(evidence.to_json()))
    return {"status": Status.OK, **measured(meter)}


# --- what was measured ---------------------------------------------------------------


def measured(meter: Meter) -> dict[str, Any]:
    """The fields of a record that the meter knows, and the libraries that were loaded."""
    measures: dict[str, float | int | None] = {
        "peak_rss_bytes": meter.peak_rss_bytes(),
        "net_peak_bytes": meter.net_peak_bytes(),
    }
    if "warmup" in meter.phases:
        measures["warmup_seconds"] = meter.phases["warmup"]["seconds"]
    settings: dict[str, Any] = {
        "memory_method": meter.method,
        "exact": meter.exact,
        "baseline_rss_bytes": meter.baseline,
        "omp_wait_policy": os.environ.get(limits.WAIT_POLICY),
    }
    if "numpy" in sys.modules:
        import threadpoolctl  # type: ignore[import-untyped]

        settings["blas"] = [
            {key: pool[key] for key in POOL_FACTS if pool.get(key) is not None}
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] in COMPUTING
        ]
    if "numba" in sys.modules:
        settings["threading_layer"] = limits.threading_layer()
    return {"measures": measures, "phases": meter.phases, "settings": settings}
