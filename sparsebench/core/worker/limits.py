"""Sets a trial's cores, threads, memory limit, and numba's threading layer."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from sparsebench.core.job import Job
from sparsebench.core.worker import mpi

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

WAIT_POLICY = "OMP_WAIT_POLICY"
PASSIVE = "passive"
"""OpenMP's wait policy under which waiting threads sleep. By default they spin, and when other
programs run they occupy the core that the awaited thread needs. Seconds per epoch of
784-1000-1000-1000-10 at epsilon 20 and batch 128, two threads on two cores: on a quiet machine 1.21
to 1.43 passive and 1.17 to 1.36 spinning, in turns; beside one busy process 1.2 to 1.9 and 47 to
58. Waking a thread takes 10 to 20 us, so `numba-csr` runs short parallel regions on one thread."""

LAYER_PRIORITY = "NUMBA_THREADING_LAYER_PRIORITY"
LAYER_CHOICE = "NUMBA_THREADING_LAYER"
LAYERS = ("omp", "workqueue", "tbb")
"""The order in which numba tries its threading layers. By default it would prefer tbb, whose
schedule differs, if any package has installed it."""


def environment(job: Job) -> dict[str, str]:
    """The variables that a trial's processes get in addition to the inherited ones."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(job.trial.threads))
    for name, value in ((LAYER_PRIORITY, " ".join(LAYERS)), (WAIT_POLICY, PASSIVE)):
        if name not in os.environ:
            variables[name] = value
    variables["PYTHONHASHSEED"] = "0"
    variables["MALLOC_ARENA_MAX"] = "2"
    variables["NUMPY_MADVISE_HUGEPAGE"] = "1" if job.trial.huge_pages else "0"
    if job.processes > 1:
        variables |= mpi.environment(job.processes, crowded=job.oversubscribed)
    if job.numba_cache is not None:
        variables["NUMBA_CACHE_DIR"] = str(job.numba_cache)
    return variables


def apply(job: Job) -> None:
    """Bind this process to its cores and its memory limit, and make the kernel's out-of-memory
    killer choose it first.

    The limit is on data, not on address space: numpy and numba reserve three times the addresses
    they use.
    """
    if job.cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job.trial.memory_limit is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = job.trial.memory_limit
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def limit_mechanisms(limit: int | None, *, in_group: bool) -> list[str]:
    """The mechanisms that enforce a memory limit of `limit` bytes, in the order in which they act;
    empty if the limit is None.

    rlimit-data  the kernel refuses the allocation: MemoryError
    cgroup       the kernel kills the trial's control group
    rss          the supervisor kills the trial when a sample exceeds the limit
    """
    if limit is None:
        return []
    refusing = ["rlimit-data"] if sys.platform == "linux" else []
    return [*refusing, *(["cgroup"] if in_group else []), "rss"]


@contextlib.contextmanager
def memory_to_report() -> Iterator[None]:
    """Lift the limit on data within the block, to report that memory ran out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def threading_layer() -> str | None:
    """The threading layer of numba in this process; None if no parallel kernel has run."""
    try:
        return str(sys.modules["numba"].threading_layer())
    except (KeyError, ValueError):
        return None


def expected_layer() -> str:
    """The threading layer that numba will have in a trial, found without importing numba; empty if
    unknown. If the user has set LAYER_CHOICE or LAYER_PRIORITY, the value of that variable."""
    chosen = os.environ.get(LAYER_CHOICE) or os.environ.get(LAYER_PRIORITY)
    if chosen is not None:
        return chosen
    numba = importlib.util.find_spec("numba")
    if numba is None or numba.origin is None:
        return ""
    for layer in LAYERS:
        stem = {"omp": "omppool", "tbb": "tbbpool"}.get(layer, layer)
        for file in (Path(numba.origin).parent / "np" / "ufunc").glob(f"{stem}.*"):
            with contextlib.suppress(OSError):  # a library that it needs is not here
                ctypes.CDLL(str(file))
                return layer
    return ""
