"""The API for notebooks and scripts: run a suite, load a run, get its data frames.

run = sparsebench.run("smoke", seeds=[0, 1])
run.trials().groupby("backend")["test_accuracy"].mean()
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sparsebench.errors import GateError, NothingMatched, SparsebenchError, nearest
from sparsebench.notebook.progress import Live, in_notebook
from sparsebench.run import user_config
from sparsebench.run.options import Listener, Summary
from sparsebench.run.request import named, resolve
from sparsebench.run.session import run_trials
from sparsebench.store.record import Record
from sparsebench.store.store import Store, StoredRun, open_run_folder
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    import pandas as pd

    from sparsebench.notebook.views import Compared, Plots, Trial

REPORTS = ("md", "html", "latex")
MOST_NAMED = 10
"""The most trials that an error message about an unknown trial names."""


class Run:
    """A run of a suite in a store.

    stored   the run's records and files in its store
    summary  counts and exit code of the call that ran it; None if the run was loaded
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
        from sparsebench.store.export_columns import run_frame

        return run_frame(self.stored)

    def epochs(self) -> pd.DataFrame:
        """A row per trial and epoch."""
        from sparsebench.store.export_columns import epochs_frame

        return epochs_frame(self.stored)

    def trial(self, which: str) -> Trial:
        """The trial with this label, or with an id that starts like this. Raises NothingMatched if
        there is none or if there are several."""
        from sparsebench.notebook.views import Trial

        chosen = [r for r in self.records if label(r.trial) == which]
        chosen = chosen or [r for r in self.records if which and r.trial.id.startswith(which)]
        if len(chosen) == 1:
            return Trial(self.stored, chosen[0])
        if chosen:
            several = ", ".join(record.trial.id for record in chosen)
            raise NothingMatched(f"run {self.id}: {which!r} is the start of several: {several}")
        ids = [record.trial.id for record in self.records[:MOST_NAMED]]
        more = "; run.trials() has all" if len(self.records) > MOST_NAMED else ""
        raise NothingMatched(f"run {self.id}: no trial {which!r}.{nearest(which, ids)}{more}")

    @property
    def plot(self) -> Plots:
        """The report's charts as matplotlib figures: `run.plot.curves()` and others."""
        from sparsebench.notebook.views import Plots

        return Plots(self.stored)

    def _repr_html_(self) -> str:
        from sparsebench.notebook.views import run_card

        return run_card(self.stored).html("see .trials() or .report()")

    def report(self, format: str = "md", folder: Path | None = None) -> str:
        """The report as text: "md", "html", or "latex", which has tables and no plots. Raises
        SparsebenchError for any other format.

        folder  where the PNG files of the plots of "md" are written; None: they are not kept, and
                the links to them lead nowhere. HTML contains its plots.
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

        with tempfile.TemporaryDirectory() as scratch:
            return report([self.stored], Path(scratch) if folder is None else folder)


def run(
    suite: str | Path,
    *,
    settings: Mapping[str, Any] | str | Sequence[str] | None = None,
    seeds: str | int | Iterable[int] | None = None,
    quick: bool = False,
    select: str | None = None,
    k: str | None = None,
    shard: str | None = None,
    store: str | Path | None = None,
    data: str | Path | None = None,
    plugins: str | Path | Sequence[str | Path] = (),
    allow_plugins: bool = False,
    jobs: int | None = None,
    threads: int | None = None,
    timeout: float | str | None = None,
    memory_limit: int | str | None = None,
    retries: int | None = None,
    executor: str | None = None,
    address: str | None = None,
    resume: bool = True,
    rerun: Literal["failed", "all"] | None = None,
    reuse_stale: bool = False,
    fail_fast: bool = False,
    predict: bool = True,
    audit: bool = False,
    debug: bool = False,
    identify: bool = False,
    listener: Listener | None = None,
    progress: bool | None = None,
) -> Run:
    """Run a suite, given by its name or file, with the options of `sparsebench run`.

    Options that are left out come from SPARSEBENCH_* variables, the suite and config.toml, in this
    order.

    settings      dotted key of the suite's [trial] -> value, or texts such as "epochs=3"
    seeds         numbers, or a text such as "0:5", which is 0 to 4
    select        run only the trials that match this expression, as -k; `k` is the same
    shard         "2/8": the second of eight parts of the trials
    timeout       for each trial, in seconds or as "30m"
    memory_limit  for each trial, in bytes or as "8GiB"
    retries       how often a trial that crashed or was killed is repeated
    address       address of a cluster's scheduler, for an executor that needs one ("dask")
    progress      whether to show the progress, in place in a notebook and on stderr elsewhere;
                  None: only in a notebook
    listener      called instead of showing the progress

    If interrupted, running trials are ended and all records are kept, so `load_run("latest")`
    finds them. Then this raises KeyboardInterrupt after Ctrl-C, or SystemExit(143) after TERM or
    HUP.
    """
    if select is not None and k is not None:
        raise SparsebenchError("give either `select` or `k`: they are the same option")
    request = resolve(
        suite, settings=settings, seeds=seeds, quick=quick, select=k if select is None else select,
        shard=shard, store=store_directory(store), data=data, plugins=plugins,
        allow_plugins=allow_plugins, jobs=jobs, threads=threads, timeout=timeout,
        memory_limit=memory_limit, retries=retries, executor=executor, address=address,
        resume=resume, rerun=rerun,
        reuse_stale=reuse_stale, fail_fast=fail_fast, predict=predict, audit=audit, debug=debug,
        identify=identify,
    )  # fmt: skip
    display: contextlib.AbstractContextManager[Listener]
    if listener is None and progress is not False and in_notebook():
        listener = Live()
    if listener is not None or not progress:
        display = contextlib.nullcontext(listener or Listener())
    else:
        from sparsebench.cli.progress import listener as on_stderr

        display = on_stderr()
    with display as shown:
        summary = run_trials(request.suite, request.trials, request.plugins, request.options, shown)
    if summary.exit_code == 130:
        raise KeyboardInterrupt
    if summary.exit_code == 143:
        raise SystemExit(143)
    return Run(Store(summary.store).run(summary.run), summary)


def compare(
    base: Run | str | Path,
    head: Run | str | Path,
    *,
    gates: str | Path | None = None,
    fail_if: str | Sequence[str] = (),
    min_seeds: int | None = None,
    alpha: float | None = None,
    time_gate: bool = False,
    strict: bool = False,
    store: str | Path | None = None,
) -> Compared:
    """Compare HEAD with BASE, as `sparsebench compare` does.

    base, head  runs, ids, folders, "latest", baselines by name or file
    gates       a TOML file with gates: how much worse a metric may get
    fail_if     gates as texts, such as ["net_peak_bytes:+5%,2MiB"]
    min_seeds   a metric that varies is not judged on fewer seeds
    alpha       rate of false alarms of a metric
    time_gate   times fail too, instead of only warning
    strict      the exit code is 6 if any gate could not be decided
    """
    from sparsebench.analysis import comparison
    from sparsebench.analysis.baseline import side_named
    from sparsebench.analysis.comparison_sides import side
    from sparsebench.analysis.gates import default_gates, resolve_gates
    from sparsebench.notebook.views import Compared

    if min_seeds is not None and (not hasattr(min_seeds, "__index__") or min_seeds < 2):
        raise GateError(f"min_seeds: expected a whole number from 2, found {min_seeds!r}")
    sides = [
        side(one.stored) if isinstance(one, Run)
        else side_named(Store(store_directory(store)), os.path.expanduser(named(one, "a run")))
        for one in (base, head)
    ]  # fmt: skip
    resolved = resolve_gates(
        Path(gates) if gates is not None else None,
        [fail_if] if isinstance(fail_if, str) else fail_if,
        min_seeds, alpha, strict, default_gates(), time_gate, sides[0].metrics | sides[1].metrics,
    )  # fmt: skip
    return Compared(comparison.compare(sides[0], sides[1], resolved))


def load_run(run: str | Path = "latest", store: str | Path | None = None) -> Run:
    """Load a run, given its folder, its id in a store, or "latest"."""
    folder = user_config.expanded(named(run, "a run"))
    if store is None and folder.is_dir():
        return Run(open_run_folder(folder))
    return Run(Store(store_directory(store)).run(run))


def store_directory(store: str | Path | None = None) -> Path:
    """The folder of the store: `store`, SPARSEBENCH_STORE, the one in config.toml, or
    `.sparsebench` in the current folder."""
    return user_config.store_directory(None if store is None else named(store, "a store")).resolve()
