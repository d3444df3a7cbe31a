"""Cores and memory that trials under way at the same time do not share."""

from __future__ import annotations

from sparsebench import machine
from sparsebench.errors import SparsebenchError
from sparsebench.execution.limits import core_slots
from sparsebench.suite.trial import Trial


class Slots:
    """`count` places for trials; with more than one, each has cores of its own.

    shared  the places are on this machine, so cores and memory have to go round
    """

    def __init__(self, count: int, *, shared: bool) -> None:
        self.count = count
        self._shared = shared
        self._cores = _shares(count) if shared and count > 1 else [None] * count
        self._taken: dict[int, Trial] = {}

    @property
    def contended(self) -> bool:
        return self._shared and self.count > 1

    def fits(self, trial: Trial) -> bool:
        """Whether a trial may start now: a place is free, and all limits fit into memory.

        A trial alone always may: its limit is its own affair.
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

    def give_back(self, place: int) -> None:
        del self._taken[place]


def _shares(count: int) -> list[tuple[int, ...] | None]:
    cores = machine.usable_cores()
    if count > len(cores):
        raise SparsebenchError(
            f"{count} trials at once need a core each; this machine has {len(cores)} to use"
        )
    return [*core_slots(cores, count)]
