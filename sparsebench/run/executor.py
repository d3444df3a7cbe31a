"""What an executor must do: where trials run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sparsebench.core.job import Job


class Handle(Protocol):
    """A trial under way."""

    def poll(self) -> Mapping[str, Any] | None:
        """Its outcome (see `store.record`) once it has ended, else None. Never blocks."""

    def progress(self) -> Mapping[str, Any]:
        """The latest of epoch, epochs, step, steps, loss, accuracy, rss_bytes; may be empty."""

    def stop(self, kill: bool = False) -> None:
        """Ask the trial to end (TERM), or end it (KILL). `poll` then gives its outcome."""


class Executor(Protocol):
    """Where trials run. `slots` trials may be under way at once.

    Beside this an executor may define:

    shares_machine  its places are on this machine, whose cores and memory are dealt out to them
    many_machines   kernels are compiled where they run, and no machine is timed for all
    room() -> int   trials that may be under way now, where that changes; instead of `slots`
    lost: str       why nothing more can run; empty while it can
    address         a parameter: where its cluster is reached
    """

    slots: int

    def submit(self, job: Job) -> Handle: ...

    def close(self) -> None: ...
