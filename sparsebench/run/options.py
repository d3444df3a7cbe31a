"""The options of a run, the listener that is called during it, and its summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sparsebench.core.trial import Trial
from sparsebench.errors import PluginError, SparsebenchError
from sparsebench.registry import Component, Plugins
from sparsebench.store.record import Record
from sparsebench.suite.defaults import EXECUTOR


@dataclass(frozen=True)
class Options:
    """How to run a suite's trials.

    jobs         trials at the same time
    address      address of the executor's scheduler; only for executors that have one
    shard        part of the suite that these trials are, such as 2/8; for the manifest
    resume       reuse finished records of the same trial and the same code
    rerun        run again what would be reused: failed trials only, or all
    reuse_stale  also reuse records of other versions of the code
    fail_fast    start no more trials after a failure that the suite does not expect
    predict      skip trials that cannot fit their memory limit
    audit        probe backends for dense work before the first trial, unless an earlier run has
    debug        run the one trial in this process; its exceptions are not caught
    time_limit   seconds, counted from the first trial, after which no other one begins
    identify     record the names of host and machine, and the address, in the manifest
    argv         the words of the command line, for the manifest
    """

    store: Path
    data_dir: Path
    jobs: int = 1
    executor: str = EXECUTOR
    address: str | None = None
    shard: str | None = None
    resume: bool = True
    rerun: Literal["failed", "all"] | None = None
    reuse_stale: bool = False
    fail_fast: bool = False
    predict: bool = True
    audit: bool = False
    debug: bool = False
    time_limit: float | None = None
    identify: bool = False
    argv: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.jobs, int) or isinstance(self.jobs, bool) or self.jobs < 1:
            raise SparsebenchError(f"jobs: expected a whole number from 1, found {self.jobs!r}")
        if self.rerun not in (None, "failed", "all"):
            raise SparsebenchError(f"rerun: expected failed or all, found {self.rerun!r}")


def executor_of(options: Options, plugins: Plugins) -> Component:
    """The chosen executor as data for `Plugins.build`. Imports nothing heavy.

    Raises SparsebenchError if an address is given and the executor takes none.
    """
    if options.debug:
        return {"name": EXECUTOR, "slots": 1}
    chosen = {"name": options.executor, "slots": options.jobs}
    if options.address is None:
        return chosen
    if not _takes_address(options.executor, plugins):
        able = [e.name for e in plugins["executor"] if _takes_address(e.name, plugins)]
        raise SparsebenchError(
            f"--address {options.address} (or SPARSEBENCH_ADDRESS): executor "
            f"{options.executor!r} takes none; those that do: {', '.join(able) or 'none'}; "
            "give one with --executor"
        )
    return {**chosen, "address": options.address}


def _takes_address(executor: str, plugins: Plugins) -> bool:
    entry = plugins.entry("executor", executor)
    try:
        return "address" in {field.name for field in dataclasses.fields(entry.parameters())}
    except PluginError:
        return False


@dataclass(frozen=True)
class Summary:
    """A run that is over.

    records  one per trial that ended or was reused
    reused   number of records from earlier runs
    counts   number of records by status
    """

    run: str
    store: Path
    records: list[Record]
    reused: int
    counts: dict[str, int]
    exit_code: int


class Listener:
    """Callbacks during a run; a subclass overrides those that it needs."""

    def started(self, run_id: str, total: int) -> None:
        """The run has begun; `total` trials are planned."""

    def compiling(self, names: Sequence[str]) -> None:
        """Compilation of these backends' kernels begins, before the first trial."""

    def probing(self, names: Sequence[str]) -> None:
        """The audit of these backends begins, before the first trial."""

    def waiting(self) -> None:
        """Called several times a second during compilation and audit."""

    def trial_started(self, trial: Trial, number: int) -> None:
        """A trial has begun; `number` is its place in the plan, from 1."""

    def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
        """Called several times a second for a running trial with its latest progress; see
        `executor.Handle.progress` for the keys of `state`."""

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        """A trial has ended and its record is stored. With retries it may end more than once."""

    def note(self, line: str) -> None:
        """A message for people."""

    def ended(self, summary: Summary) -> None:
        """The run is over and everything is stored."""
