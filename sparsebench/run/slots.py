"""Cores and memory that trials under way at the same time do not share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from sparsebench import machine
from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError


class Slots:
    """`count` places for trials; with more than one, each has cores of its own.

    shared   the places are on this machine, so cores and memory have to go round
    wanting  how many cores a trial has work for: a thread each, of each of its processes
    """

    def __init__(
        self, count: int, *, shared: bool, wanting: Callable[[Trial], int] | None = None
    ) -> None:
        self.count = count
        self._wanting = wanting if wanting is not None else lambda trial: trial.threads
        self._shared = shared
        self._cores = _shares(count) if shared and count > 1 else [None] * count
        self._taken: dict[int, Trial] = {}

    @property
    def contended(self) -> bool:
        return self._shared and self.count > 1

    def fits(self, trial: Trial) -> bool:
        """Whether a trial may start now: a place is free, and all limits fit into memory.

        If nothing else is running it may start whatever its memory limit.
        """
        if not self._taken:
            return True
        if len(self._taken) >= self.count:
            return False
        limits = [other.memory_limit or 0 for other in (trial, *self._taken.values())]
        return not self._shared or sum(limits) <= machine.total_memory()

    def take(self, trial: Trial) -> int:
        """The number of the place that the trial has from now on."""
        place = next(number for number in range(self.count) if number not in self._taken)
        self._taken[place] = trial
        return place

    def cores(self, place: int) -> tuple[int, ...] | None:
        return self._cores[place]

    def narrow_for(self, trials: Iterable[Trial]) -> str:
        """A line if trials ask for more threads than a place has cores; else nothing.

        With one place that is told only of trials of several processes: threads beyond the cores
        of a machine are what somebody wrote, processes are what a number of workers comes to.
        """
        waiting = list(trials)
        if not self._shared:
            return ""
        if self.count == 1:
            waiting = [trial for trial in waiting if self._wanting(trial) > trial.threads]
        cores = min(len(machine.usable_cores() if own is None else own) for own in self._cores)
        threads = max(map(self._wanting, waiting), default=0)
        if threads <= cores:
            return ""
        if self.count == 1:
            return (
                f"trials of several processes ask for up to {threads} threads together and have "
                f"{cores} core{'s' * (cores != 1)}: their processes take turns, and their records "
                "say `oversubscribed`"
            )
        return (
            f"{self.count} trials at once have {cores} of the cores each, but ask for up to "
            f"{threads} threads: their threads wait for each other"
        )

    def give_back(self, place: int) -> None:
        del self._taken[place]


def _shares(count: int) -> list[tuple[int, ...] | None]:
    """Disjoint sets of cores, of as many physical cores each; what is left over stays idle.

    The threads of a physical core go to one place: they would slow each other down.
    """
    groups: dict[int, list[int]] = {}
    for core in sorted(machine.usable_cores()):
        groups.setdefault(_first_sibling(core), []).append(core)
    if count > len(groups):
        raise SparsebenchError(
            f"{count} trials at once need a physical core each; "
            f"this machine has {len(groups)} to use"
        )
    dealt, size = list(groups.values()), len(groups) // count
    return [tuple(chain(*dealt[i * size : (i + 1) * size])) for i in range(count)]


def _first_sibling(core: int) -> int:
    """The physical core that a core is a thread of, by its first thread."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        text = path.read_text()
    except OSError:
        return core
    return int(text.replace("-", ",").split(",")[0])
