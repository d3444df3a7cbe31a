"""For notebooks and scripts: run a suite, load a run, look at it as frames.

run = sparsebench.run("smoke", seeds=[0, 1])
run.trials().groupby("backend")["test_accuracy"].mean()
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sparsebench.errors import SparsebenchError
from sparsebench.execution.options import Listener, Options, Summary
from sparsebench.execution.session import run_trials
from sparsebench.machine import data_directory
from sparsebench.records.record import Record
from sparsebench.records.store import Store, StoredRun, open_run_folder
from sparsebench.suite.expand import expand
from sparsebench.suite.load import load_suite

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run of a suite, as kept in the store.

    summary  of the call that ran it; None if it was loaded
    """

    def __init__(self, stored: StoredRun, summary: Summary | None = None) -> None:
        self.stored = stored
        self.summary = summary

    def __repr__(self) -> str:
        return f"<Run {self.id}: {len(self.records)} trials>"

    @property
    def id(self) -> str:
        return self.stored.id

    @property
    def store(self) -> Path:
        return self.stored.store.path

    @property
    def records(self) -> list[Record]:
        return self.stored.records

    def trials(self) -> pd.DataFrame:
        """A row per trial, failed ones included: the columns of `sparsebench export`."""
        from sparsebench.records.frames import run_frame

        return run_frame(self.stored)

    def epochs(self) -> pd.DataFrame:
        """A row per trial and epoch."""
        from sparsebench.records.frames import epochs_frame

        return epochs_frame(self.stored)

    def report(self, format: str = "md", folder: Path | None = None) -> str:
        """The report as text; its plots go into `folder`, and nowhere without one."""
        if format != "md":
            raise SparsebenchError(f"no report format {format!r}. Known: md")
        from sparsebench.reporting.markdown import report

        if folder is not None:
            return report([self.stored], folder)
        with tempfile.TemporaryDirectory() as scratch:
            return report([self.stored], Path(scratch))


def run(
    suite: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    quick: bool = False,
    store: str | Path | None = None,
    data: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    allow_plugins: bool = False,
    jobs: int = 1,
    timeout: float | str | None = None,
    memory_limit: int | str | None = None,
    executor: str = "local",
    resume: bool = True,
    rerun: Literal["failed", "all"] | None = None,
    reuse_stale: bool = False,
    fail_fast: bool = False,
    predict: bool = True,
    audit: bool = True,
    debug: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Run the suite of a name or a file, as `sparsebench run` does.

    settings  path below [trial] -> value, as --set
    timeout   seconds or "30m"; memory_limit: bytes or "8GiB"; of each trial

    Interrupted, it first ends the trials under way and keeps what there is, so that
    `load_run("latest")` finds it; then it raises: KeyboardInterrupt after Ctrl-C, else
    SystemExit(143), after TERM or HUP.
    """
    data_dir = Path(data).expanduser().resolve() if data is not None else data_directory()
    loaded, known = load_suite(
        suite,
        plugin_files=[Path(file) for file in plugins],
        allow_plugins=allow_plugins,
        data_dir=data_dir,
    )
    given = {"timeout": timeout, "memory_limit": memory_limit}
    limits = {key: value for key, value in given.items() if value is not None}
    trials = expand(
        loaded,
        known,
        data_dir=data_dir,
        quick=quick,
        settings={**(settings or {}), **limits},
        seeds=seeds,
    )
    options = Options(
        store=store_directory(store),
        data_dir=data_dir,
        jobs=jobs,
        executor=executor,
        resume=resume,
        rerun=rerun,
        reuse_stale=reuse_stale,
        fail_fast=fail_fast,
        predict=predict,
        audit=audit,
        debug=debug,
    )
    summary = run_trials(loaded, trials, known, options, listener)
    if summary.exit_code == 130:
        raise KeyboardInterrupt
    if summary.exit_code == 143:
        raise SystemExit(143)
    return Run(Store(summary.store).run(summary.run), summary)


def load_run(run: str | Path = "latest", store: str | Path | None = None) -> Run:
    """A run by its folder, or by its id (or `latest`) in a store."""
    folder = Path(run).expanduser()
    if store is None and folder.is_dir():
        return Run(open_run_folder(folder))
    return Run(Store(store_directory(store)).run(run))


def store_directory(given: str | Path | None = None) -> Path:
    """The store to use: as given, else SPARSEBENCH_STORE, else `.sparsebench` here."""
    if given is None:
        given = os.environ.get("SPARSEBENCH_STORE") or ".sparsebench"
    return Path(given).expanduser().resolve()
