"""What a session is asked to do, what it tells while it runs, and what it gives back."""

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

    address      where an executor of several machines is reached
    shard        which part of the suite these trials are, such as 2/8; for the manifest
    resume       reuse finished records of the same trial and the same code
    rerun        run again what would be reused: only what failed, or everything
    reuse_stale  reuse records of other code too
    fail_fast    start nothing more after a failure that the suite does not expect
    predict      start nothing that cannot fit its memory limit
    audit        probe the backends for dense work first, where no earlier run has; what one has
                 found is shown without it, too
    debug        the one trial runs in this process, and its exceptions come through
    identify     the manifest names this host
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
    identify: bool = False
    argv: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.jobs, int) or isinstance(self.jobs, bool) or self.jobs < 1:
            raise SparsebenchError(f"jobs: expected a whole number from 1, found {self.jobs!r}")
        if self.rerun not in (None, "failed", "all"):
            raise SparsebenchError(f"rerun: expected failed or all, found {self.rerun!r}")


def executor_of(options: Options, plugins: Plugins) -> Component:
    """The executor that is asked for, as what `Plugins.build` takes. Imports nothing heavy.

    Raises SparsebenchError for an address that it does not take.
    """
    if options.debug:
        return {"name": EXECUTOR, "slots": 1}
    given = {"name": options.executor, "slots": options.jobs}
    if options.address is None:
        return given
    if not _takes_address(options.executor, plugins):
        able = [e.name for e in plugins["executor"] if _takes_address(e.name, plugins)]
        raise SparsebenchError(
            f"--address {options.address} (or SPARSEBENCH_ADDRESS): executor "
            f"{options.executor!r} takes none; those that do: {', '.join(able) or 'none'}; "
            "give one with --executor"
        )
    return {**given, "address": options.address}


def _takes_address(executor: str, plugins: Plugins) -> bool:
    entry = plugins.entry("executor", executor)
    try:
        return "address" in {field.name for field in dataclasses.fields(entry.parameters())}
    except PluginError:
        return False


@dataclass(frozen=True)
class Summary:
    """A run that is over. `counts` by status; `reused` of the records are from before."""

    run: str
    store: Path
    records: list[Record]
    reused: int
    counts: dict[str, int]
    exit_code: int


class Listener:
    """Told what happens, as it happens; override what is of interest."""

    def started(self, run_id: str, total: int) -> None:
        """`total` trials are planned."""

    def compiling(self, names: Sequence[str]) -> None:
        """Kernels of these backends are compiled before the first trial."""

    def probing(self, names: Sequence[str]) -> None:
        """Layers of these backends are audited before the first trial."""

    def waiting(self) -> None:
        """Called several times a second while processes before the first trial are at work."""

    def trial_started(self, trial: Trial, number: int) -> None:
        """`number` is the trial's place in the plan, from 1."""

    def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
        """See `protocols.Handle.progress`."""

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        """Its outcome is kept. A trial with retries may end more than once."""

    def note(self, line: str) -> None:
        """Something that a person should know."""

    def ended(self, summary: Summary) -> None:
        """All is kept."""
