"""For notebooks and scripts: run a suite, load a run, look at it as frames.

run = sparsebench.run("smoke", seeds=[0, 1])
run.trials().groupby("backend")["test_accuracy"].mean()
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sparsebench.errors import SparsebenchError, nearest
from sparsebench.machine import data_directory
from sparsebench.run.options import Listener, Options, Summary
from sparsebench.run.planning.sharding import parse_shard, shard_of
from sparsebench.run.session import run_trials
from sparsebench.store.record import Record
from sparsebench.store.store import Store, StoredRun, open_run_folder
from sparsebench.suite.defaults import EXECUTOR
from sparsebench.suite.expand import expand
from sparsebench.suite.load import load_suite

if TYPE_CHECKING:
    import pandas as pd

    from sparsebench.notebook.comparison_view import Compared
    from sparsebench.notebook.plots import Plots
    from sparsebench.notebook.trial_view import Trial

REPORTS = ("md", "html", "latex")


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
        from sparsebench.store.frames import run_frame

        return run_frame(self.stored)

    def epochs(self) -> pd.DataFrame:
        """A row per trial and epoch."""
        from sparsebench.store.frames import epochs_frame

        return epochs_frame(self.stored)

    def trial(self, which: str) -> Trial:
        """The trial of this id, start of an id, or label."""
        from sparsebench.notebook.trial_view import find

        return find(self.stored, which)

    @property
    def plot(self) -> Plots:
        """`run.plot.curves()` and its like: the pictures of the report as matplotlib figures."""
        from sparsebench.notebook.plots import Plots

        return Plots(self.stored)

    def _repr_html_(self) -> str:
        from sparsebench.notebook.run_card import run_card

        return run_card(self.stored).html("see .trials() or .report()")

    def report(self, format: str = "md", folder: Path | None = None) -> str:
        """The report as text: "md" or "html"; "latex" has the tables only.

        Plots of markdown go into `folder`, and nowhere without one; html has its own in it.
        """
        if format not in REPORTS:
            raise SparsebenchError(f"no report format {format!r}.{nearest(format, REPORTS)}")
        if format == "html":
            from sparsebench.report.html.page import report as html_report

            return html_report([self.stored])
        if format == "latex":
            from sparsebench.report.latex import report as latex_report

            return latex_report([self.stored])
        from sparsebench.report.markdown import report

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
    executor: str = EXECUTOR,
    address: str | None = None,
    shard: str | None = None,
    resume: bool = True,
    rerun: Literal["failed", "all"] | None = None,
    reuse_stale: bool = False,
    fail_fast: bool = False,
    predict: bool = True,
    audit: bool = False,
    debug: bool = False,
    listener: Listener | None = None,
    progress: bool | None = None,
) -> Run:
    """Run the suite of a name or a file, as `sparsebench run` does.

    settings  path below [trial] -> value, as --set
    timeout   seconds or "30m"; memory_limit: bytes or "8GiB"; of each trial
    address   of a cluster's scheduler, for an executor that takes one ("dask")
    shard     "2/8": the second of eight parts of the trials
    progress  show how far it is: in a notebook in place, elsewhere on stderr. None: only in a
              notebook. A `listener` is told instead.

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
    part = parse_shard(shard) if shard is not None else None
    if part is not None:
        trials = shard_of(part, trials, known)
    options = Options(
        store=store_directory(store),
        data_dir=data_dir,
        jobs=jobs,
        executor=executor,
        address=address,
        shard=str(part) if part is not None else None,
        resume=resume,
        rerun=rerun,
        reuse_stale=reuse_stale,
        fail_fast=fail_fast,
        predict=predict,
        audit=audit,
        debug=debug,
    )
    with _shown(progress) if listener is None else contextlib.nullcontext(listener) as told:
        summary = run_trials(loaded, trials, known, options, told)
    if summary.exit_code == 130:
        raise KeyboardInterrupt
    if summary.exit_code == 143:
        raise SystemExit(143)
    return Run(Store(summary.store).run(summary.run), summary)


def _shown(progress: bool | None) -> contextlib.AbstractContextManager[Listener]:
    """What tells a person how far a run is."""
    from sparsebench.notebook.progress import Live, in_notebook

    if progress is not False and in_notebook():
        return contextlib.nullcontext(Live())
    if not progress:
        return contextlib.nullcontext(Listener())
    from sparsebench.cli.progress import listener

    return listener()


def compare(
    base: Run | str | Path,
    head: Run | str | Path,
    *,
    gates: str | Path | None = None,
    fail_if: Sequence[str] = (),
    min_seeds: int | None = None,
    alpha: float | None = None,
    time_gate: bool = False,
    strict: bool = False,
    store: str | Path | None = None,
) -> Compared:
    """Compare HEAD with BASE, as `sparsebench compare` does.

    base, head  runs; or ids, folders, "latest", names of baselines or their files
    gates       a TOML file; fail_if: ["net_peak_bytes:+5%,2MiB"]
    """
    from sparsebench.notebook.comparison_view import compared

    sides = [one.stored if isinstance(one, Run) else one for one in (base, head)]
    return compared(
        *sides, store=store_directory(store), gates=gates, fail_if_any=fail_if,
        min_seeds=min_seeds, alpha=alpha, time_gate=time_gate, strict=strict,
    )  # fmt: skip


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
