"""How a machine is set up, where that makes measurements noisy or wrong: a line for each thing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sparsebench import machine
from sparsebench.run import noise
from sparsebench.run.surroundings import (
    CPU,
    container,
    filesystem,
    first,
    smt,
    swap_used,
    turbo,
)
from sparsebench.units import brief_size

FEW_CORES = 2
LITTLE_DISK = 2**30
"""Bytes: a run writes some MiB; less than this is a disk about to be full."""

SWAPPED = 64 * 2**20
"""Bytes of swap in use; a little is what systems put there when idle."""

NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "ceph", "beegfs", "gluster", "afs", "9p",
           "fuse.sshfs")  # fmt: skip

HURTFUL = {
    "NUMBA_DISABLE_JIT": "kernels run as plain Python",
    "NUMBA_BOUNDSCHECK": "every index is checked",
    "NUMBA_OPT": "kernels are optimised otherwise",
    "NUMBA_DEBUG": "numba prints, and compiles otherwise",
    "NUMBA_DEBUGINFO": "kernels are optimised less",
    "NUMBA_CPU_NAME": "kernels are compiled for that processor",
    "NUMBA_CPU_FEATURES": "kernels are compiled for these features",
    "OPENBLAS_CORETYPE": "OpenBLAS runs the code of that processor",
    "MKL_ENABLE_INSTRUCTIONS": "MKL runs older instructions",
    "MKL_CBWR": "MKL runs a slower, reproducible way",
    "OMP_PROC_BIND": "threads are bound to cores, also with trials side by side",
    "GOMP_CPU_AFFINITY": "threads are bound to cores, also with trials side by side",
    "KMP_AFFINITY": "threads are bound to cores, also with trials side by side",
    "OMP_WAIT_POLICY": "it, and not sparsebench, says how threads wait",
    "GOMP_SPINCOUNT": "it, and not sparsebench, says how threads wait",
    "MALLOC_PERTURB_": "every allocation is written",
    "MALLOC_CHECK_": "every allocation is checked",
    "PYTHONMALLOC": "Python allocates otherwise",
    "LD_PRELOAD": "another allocator may keep freed memory, which then counts",
}
"""Variables of the environment that trials inherit, and what they do."""


def warnings(store: Path) -> list[str]:
    """All that could be better for trials on this machine, with a store at `store`."""
    return [*_clocks(), *_cores(), *_memory(), *_variables(), *_store(store)]


def _clocks() -> Iterator[str]:
    governor = first(f"{CPU}/cpu0/cpufreq/scaling_governor")
    if governor not in ("", "performance"):
        yield f"the cpu governor is {governor!r}: clocks vary; 'performance' is steadier"
    if turbo():
        yield "turbo is on: clocks depend on heat and on how many cores work"
    if noise.sample().throttles:
        yield "clocks, or the share of the CPU, have been throttled since the machine started"


def _cores() -> Iterator[str]:
    usable, there = len(machine.usable_cores()), os.cpu_count() or 1
    if usable < there:
        yield f"only {usable} of {there} cores may be used"
    if usable <= FEW_CORES:
        yield f"{usable} usable cores: the system's own work takes them from trials"
    if smt():
        yield "SMT is on: two threads may share a core; -j gives trials whole cores"
    quota, _, period = container().get("cpu.max", "max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(quota) < usable * int(period):
        share = int(quota) / int(period)
        yield f"the control group may use {share:g} of {usable} cores: threads will be throttled"


def _memory() -> Iterator[str]:
    if first("sys/kernel/mm/transparent_hugepage/enabled").find("[always]") >= 0:
        yield "transparent huge pages are 'always': memory peaks will be higher than needed"
    swapped = swap_used()
    if swapped is not None and swapped > SWAPPED:
        yield f"{brief_size(swapped)} of swap are in use: what is swapped out is not measured"


def _variables() -> Iterator[str]:
    for name, effect in HURTFUL.items():
        if os.environ.get(name) not in (None, "", "0"):
            yield f"{name} is set: {effect}"


def _store(store: Path) -> Iterator[str]:
    place = store.resolve()
    while not place.exists():
        place = place.parent
    free, kind = shutil.disk_usage(place).free, filesystem(place)
    if free < LITTLE_DISK:
        yield f"only {brief_size(free)} are free where the store {store} is"
    if kind in ("tmpfs", "ramfs"):
        yield f"the store {store} is on {kind}: it takes memory, and goes when the machine restarts"
    if kind.startswith(NETWORK):
        yield f"the store {store} is on a network file system ({kind}): one run at a time, please"
