"""Assigns slots and cores to trials. A slot is a place in which one trial runs at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from sparsebench import machine
from sparsebench.core.trial import Trial
from sparsebench.cores_and_threads import usable_cores
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins


def declared_processes(trial: Trial, plugins: Plugins) -> dict[str, int]:
    """The processes that a trial's trainer declares:

    processes  started together for the trial, at least 1
    forks      started by the trainer itself, which waits while they work; 0 if it starts none
    """
    trainer = plugins.parameters("trainer", trial.trainer)
    declared = {name: getattr(trainer, name, None) for name in ("processes", "forks")}
    counts = {name: int(count()) if callable(count) else 0 for name, count in declared.items()}
    return {**counts, "processes": max(1, counts["processes"])}


def cores_wanted(trial: Trial, plugins: Plugins) -> int:
    """The number of threads of a trial that work at the same time: those of all its processes, or
    of all forks of its trainer if these are more."""
    return trial.threads * max(declared_processes(trial, plugins).values())


class Slots:
    """`count` slots for trials that run at the same time. Several slots on this machine get
    disjoint sets of its cores.

    shared    whether the slots are on this machine and divide its cores and memory
    cores_of  returns the number of cores that a trial can use
    """

    def __init__(
        self,
        count: int,
        *,
        shared: bool,
        cores_of: Callable[[Trial], int] = lambda trial: trial.threads,
    ) -> None:
        self.count = count
        self.contended = shared and count > 1
        self._cores_of = cores_of
        self._shared = shared
        self._cores = _divided_cores(count) if self.contended else [None] * count
        self._busy: dict[int, Trial] = {}

    def fits(self, trial: Trial) -> bool:
        """Whether a trial may start now: a slot is free and all memory limits together fit. If
        nothing else is running it may always start."""
        if not self._busy:
            return True
        if len(self._busy) >= self.count:
            return False
        limits = [other.memory_limit or 0 for other in (trial, *self._busy.values())]
        return not self._shared or sum(limits) <= machine.total_memory()

    def take(self, trial: Trial) -> int:
        """Give the trial a free slot and return the slot's number. Call it only if the trial
        `fits`."""
        place = next(number for number in range(self.count) if number not in self._busy)
        self._busy[place] = trial
        return place

    def release(self, place: int) -> None:
        del self._busy[place]

    def cores(self, place: int) -> tuple[int, ...] | None:
        """The cores of a slot; None if trials are not pinned."""
        return self._cores[place]

    def shortage(self, trials: Iterable[Trial]) -> str:
        """A warning if trials want more threads than a slot has cores, else empty.

        With one slot only trials of several processes are warned about: the number of threads is
        the user's own choice, but the number of processes follows from the number of workers.
        """
        if not self._shared:
            return ""
        alone = self.count == 1
        wanted = [self._cores_of(t) for t in trials if not alone or self._cores_of(t) > t.threads]
        cores = min(len(usable_cores() if own is None else own) for own in self._cores)
        threads = max(wanted, default=0)
        if threads <= cores:
            return ""
        if alone:
            return (
                f"trials of several processes ask for up to {threads} threads together and have "
                f"{cores} core{'s' * (cores != 1)}: their processes take turns, and their records "
                "say `oversubscribed`"
            )
        return (
            f"{self.count} trials at once have {cores} of the cores each, but ask for up to "
            f"{threads} threads: their threads wait for each other"
        )


def _divided_cores(count: int) -> list[tuple[int, ...] | None]:
    """Disjoint sets of logical cores, one per slot, with equally many physical cores each; cores
    left over stay idle. All threads of a physical core go to one slot, because they slow each other
    down. Raises SparsebenchError if there are fewer physical cores than slots."""
    groups: dict[int, list[int]] = {}
    for core in sorted(usable_cores()):
        groups.setdefault(physical_core(core), []).append(core)
    if count > len(groups):
        raise SparsebenchError(
            f"{count} trials at once need a physical core each; "
            f"this machine has {len(groups)} to use"
        )
    physical, size = list(groups.values()), len(groups) // count
    return [tuple(chain(*physical[i * size : (i + 1) * size])) for i in range(count)]


def physical_core(core: int) -> int:
    """The number of the first logical core of the physical core that the logical core `core`
    belongs to; `core` itself if that is unknown."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        return int(path.read_text().replace("-", ",").split(",")[0])
    except OSError:
        return core
