"""Warns about settings of the machine that make measurements noisy or wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sparsebench.cores_and_threads import usable_cores
from sparsebench.run import noise
from sparsebench.run.machine_facts import (
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
"""Bytes of free disk below which there is a warning; a run writes some MiB."""

SWAPPED = 64 * 2**20
"""Bytes of swap in use above which there is a warning; idle systems swap out a little."""

NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "ceph", "beegfs", "gluster", "afs", "9p",
           "fuse.sshfs")  # fmt: skip

HURTFUL = {
    "NUMBA_DISABLE_JIT": "kernels run as plain Python",
    "NUMBA_BOUNDSCHECK": "every index is checked",
    "NUMBA_OPT": "kernels are compiled at another level of optimisation",
    "NUMBA_DEBUG": "numba prints, and compiles differently",
    "NUMBA_DEBUGINFO": "kernels are optimised less",
    "NUMBA_CPU_NAME": "kernels are compiled for that processor",
    "NUMBA_CPU_FEATURES": "kernels are compiled for these features",
    "OPENBLAS_CORETYPE": "OpenBLAS runs the code of that processor",
    "MKL_ENABLE_INSTRUCTIONS": "MKL runs older instructions",
    "MKL_CBWR": "MKL runs in a slower, reproducible mode",
    "OMP_PROC_BIND": "threads are bound to cores, even if trials run at the same time",
    "GOMP_CPU_AFFINITY": "threads are bound to cores, even if trials run at the same time",
    "KMP_AFFINITY": "threads are bound to cores, even if trials run at the same time",
    "OMP_WAIT_POLICY": "it overrides how sparsebench lets threads wait",
    "GOMP_SPINCOUNT": "it overrides how sparsebench lets threads wait",
    "MALLOC_PERTURB_": "every allocation is filled with bytes",
    "MALLOC_CHECK_": "every allocation is checked",
    "PYTHONMALLOC": "Python uses another allocator",
    "LD_PRELOAD": "another allocator may keep freed memory, which is then measured",
}
"""Environment variables that trials inherit, and their effect."""


def warnings(store: Path) -> list[str]:
    """A line for each setting that makes measurements on this machine noisy or wrong."""
    return [*_clocks(), *_cores(), *_memory(), *_variables(), *_store(store)]


def _clocks() -> Iterator[str]:
    governor = first(f"{CPU}/cpu0/cpufreq/scaling_governor")
    if governor not in ("", "performance"):
        yield f"the cpu governor is {governor!r}: clocks vary; 'performance' is steadier"
    if turbo():
        yield "turbo is on: clocks depend on heat and on how many cores are busy"
    if noise.sample().throttles:
        yield "clocks, or the share of the CPU, have been throttled since the machine started"


def _cores() -> Iterator[str]:
    usable, there = len(usable_cores()), os.cpu_count() or 1
    if usable < there:
        yield f"only {usable} of {there} cores may be used"
    if usable <= FEW_CORES:
        yield f"{usable} usable cores: the system's own work takes them from trials"
    if smt():
        yield "SMT is on: two threads may share a physical core; with -j trials get whole ones"
    quota, _, period = container().get("cpu.max", "max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(quota) < usable * int(period):
        share = int(quota) / int(period)
        yield f"the control group may use {share:g} of {usable} cores: threads will be throttled"


def _memory() -> Iterator[str]:
    if first("sys/kernel/mm/transparent_hugepage/enabled").find("[always]") >= 0:
        yield "transparent huge pages are 'always': memory peaks will be higher than needed"
    swapped = swap_used()
    if swapped is not None and swapped > SWAPPED:
        yield f"{brief_size(swapped)} of swap are in use: swapped memory is not measured"


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
        yield f"the store {store} is on {kind}: it takes memory and is lost at a restart"
    if kind.startswith(NETWORK):
        yield f"the store {store} is on a network file system ({kind}): start one run at a time"
