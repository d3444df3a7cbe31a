"""`sparsebench run`, `plan`, `validate`, `prepare`: the commands that read a suite. Their options
are declared in `cli.options`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.output import (
    append_step_summary,
    as_markdown,
    print_rows,
    result_numbers,
    result_table,
)
from sparsebench.core.trial import Trial, canonical
from sparsebench.errors import NothingMatched
from sparsebench.run.claim_seeds import too_few_seeds
from sparsebench.run.cost_prediction import Prediction, never_updates, predict, refusal
from sparsebench.run.fingerprint import fingerprint
from sparsebench.run.options import executor_of
from sparsebench.run.request import RunRequest, resolve
from sparsebench.run.reuse import reusable, why_not_runnable
from sparsebench.run.trial_sizes import without_size
from sparsebench.run.user_config import DEFAULT_STORE
from sparsebench.store.store import Store
from sparsebench.suite.labels import brief, label, label_columns
from sparsebench.suite.selectors import matches
from sparsebench.units import brief_seconds, brief_size

POLL_SECONDS = 0.05


@o.with_options(o.selection, o.execution)
def run(
    options: dict[str, Any],
    dry_run: Annotated[bool, o.flag("--dry-run", "Only list the trials.")] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Run the trials of SUITE and keep their records.

    Each trial runs in a process of its own.

    Exit codes: 0 all ended as the suite expects; 1 a trial failed; 2 usage; 5 nothing matched or
    nothing ran; 130 and 143 stopped, finished trials are kept.
    """
    request = resolve(**options, argv=tuple(sys.argv))
    executor_of(request.options, request.plugins)
    if dry_run:
        _print_plan(request, format)
        return
    from sparsebench.cli.progress import listener
    from sparsebench.run import noise
    from sparsebench.run.session import run_trials

    debug = request.options.debug
    with listener(plain=debug) as shown:
        for line in () if debug else noise.now():
            shown.note(line)
        summary = run_trials(request.suite, request.trials, request.plugins, request.options, shown)
    rows = result_table(summary.records)
    found = {
        "run": summary.run,
        "store": str(Path(summary.store).resolve()),
        "counts": {str(status): count for status, count in summary.counts.items()},
        "reused": summary.reused,
        "exit_code": summary.exit_code,
        "cells": result_numbers(summary.records),
    }
    print_rows(rows, format, json=found)
    if format != "json":
        typer.echo(f"{len(summary.records)} records, {summary.reused} of them reused", err=True)
        where = "" if summary.store == DEFAULT_STORE else f" --store {summary.store}"
        typer.echo(f"next: sparsebench report {summary.run}{where} -o report.html", err=True)
    if rows:
        append_step_summary(f"### sparsebench run {summary.run}\n\n{as_markdown(rows)}\n")
    raise typer.Exit(summary.exit_code)


@o.with_options(o.selection)
def plan(
    options: dict[str, Any],
    measure: Annotated[
        bool, o.flag("--measure", "Time the backends now, to predict seconds.")
    ] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List the trials of SUITE and the memory that each needs.

    A note marks trials that `run` would reuse, would refuse for their memory limit, or cannot run
    here. The memory is a lower bound.
    """
    _print_plan(resolve(**options), format, measure=measure)


def _print_plan(request: RunRequest, format: str, *, measure: bool = False) -> None:
    """Print the trials on stdout, and their number and total needs on stderr."""
    rates = None
    if measure:
        from sparsebench.run.cost_prediction import measured_rates

        runnable = [
            trial for trial in request.trials if why_not_runnable(trial, request.plugins) is None
        ]
        rates = measured_rates(runnable, request.plugins, request.options.data_dir)
    store = Store(request.options.store)
    ids, labels = short_ids(request.trials), label_columns(request.trials)
    rows, trials, sizes, times = [], [], [], []
    counts: Counter[str] = Counter()
    for trial, short, words in zip(request.trials, ids, labels):
        prediction = predict(trial, request.plugins, rates)
        least, epoch = prediction.least_bytes, prediction.epoch_seconds
        seconds = epoch * trial.epochs if epoch is not None else None  # of training alone
        note = _note(trial, prediction, request, store)
        rows.append(
            {
                "trial": short,
                **words,
                "memory from": brief_size(least) if least is not None else "unknown",
                "epoch": f"{epoch:.3g} s" if epoch is not None else "",
                "total time": brief_seconds(seconds) if seconds is not None else "",
                "note": note,
            }
        )
        facts = {"id": trial.id, "cell": trial.cell, "label": label(trial), "note": note}
        predicted = {**prediction.measures(), "predicted_seconds": seconds}
        trials.append({**facts, **predicted, **trial.to_json()})
        word = next((w for w in ("reused", "stale", "refused") if note.startswith(w)), "")
        counts[word] += 1
        if word not in ("reused", "refused"):
            sizes += [least] if least is not None else []
            times += [seconds] if seconds is not None else []
    print_rows(rows, format, json={"suite": request.suite.name, "trials": trials})
    if format == "json":
        return
    noted = [f"{counts[word]} {word}" for word in ("reused", "stale") if counts[word]]
    needs = [", ".join([f"{len(rows)} trials of {request.suite.name}", *noted])]
    needs += [f"the largest needs at least {brief_size(max(sizes))}"] if sizes else []
    needs += [f"{brief_seconds(sum(times))} of training"] if times else []
    typer.echo("; ".join(needs), err=True)
    if unsized := dict.fromkeys(
        name for trial in request.trials for name in without_size(trial, request.plugins)
    ):
        typer.echo(f"memory is unknown where no size is declared: {', '.join(unsized)}", err=True)


def short_ids(trials: Sequence[Trial]) -> list[str]:
    """The first 8 characters of the trials' ids, or more if these do not distinguish the trials."""
    ids = [trial.id for trial in trials]
    return next(
        short
        for length in range(8, 17)
        if len(set(short := [one[:length] for one in ids])) == len(set(ids))
    )


def _note(trial: Trial, prediction: Prediction, request: RunRequest, store: Store) -> str:
    """The note on a trial in the plan: why it cannot run here; else whether it is refused because
    of its memory limit, whether its record is reused or stale (recorded by other code), and which
    failure the suite expects."""
    reason = why_not_runnable(trial, request.plugins)
    if reason is not None:
        return ": ".join(reason)
    reuse = refused = ""
    if records := store.records(trial.id):
        today = fingerprint(trial, request.plugins)
        found = reusable(trial, records, today, request.options)
        stale = replace(request.options, reuse_stale=True)
        if found is not None:
            reuse = f"reused ({found.status})"
        elif reusable(trial, records, today, stale) is not None:
            reuse = "stale"
    expected = [e.status for e in request.suite.expects if matches(e.where, trial)]
    checked = request.options.predict and "out-of-memory" not in expected
    if checked and not reuse.startswith("reused"):
        refused = refusal(trial, prediction)
    notes = [f"refused: {refused}" if refused else "", reuse]
    return "; ".join(filter(None, [*notes, f"expected: {expected[0]}" if expected else ""]))


@o.with_options(o.selection)
def validate(
    options: dict[str, Any], format: o.FormatOption = "text", json: o.Json = False
) -> None:
    """Check a suite file.

    Checks its form, every component, --quick, and that each `where` matches a trial. Notes trials
    that cannot run here and topologies that are never updated.
    """
    full, quick = resolve(**options), resolve(**options | {"quick": True})
    absences = [why_not_runnable(trial, full.plugins) for trial in full.trials]
    reasons = Counter(": ".join(absence) for absence in absences if absence is not None)
    still, still_quick = (
        [trial for trial in request.trials if never_updates(trial, request.plugins)]
        for request in (full, quick)
    )
    found = {
        "suite": full.suite.name,
        "path": str(full.suite.path),
        "trials": len(full.trials),
        "quick_trials": len(quick.trials),
        "claims": len(full.suite.claims),
        "not_runnable_here": dict(reasons),
    }
    if format == "text":
        in_quick = f"{len(quick.trials)} with --quick" if full.suite.quick else "no [quick]"
        typer.echo(f"{full.suite.name}: {len(full.trials)} trials, {in_quick}")
    else:
        row = {**found, "not_runnable_here": reasons.total()}
        found |= {"never_updated": len(still), "never_updated_quick": len(still_quick)}
        print_rows([row], format, json=found)
    if format == "json":
        return
    for reason, count in reasons.items():
        typer.echo(f"note: {count} trials {reason}", err=True)
    if few := too_few_seeds(full):
        typer.echo(f"note: {few}", err=True)
    for trials, how in ((still, ""), (still_quick if full.suite.quick else [], " with --quick")):
        if trials:
            names = ", ".join(sorted({trial.topology["name"] for trial in trials}))
            text = f"in {len(trials)} trials{how} the topology ({names}) is never updated"
            typer.echo(f"note: {text}: too few epochs or steps", err=True)


@o.with_options(o.selection)
def prepare(options: dict[str, Any], format: o.FormatOption = "text", json: o.Json = False) -> None:
    """Check the data of SUITE and compile its kernels."""
    from sparsebench.core.job import Job
    from sparsebench.run.kernel_cache import cache_folder, compile_job, representatives
    from sparsebench.suite.defaults import EXECUTOR

    request = resolve(**options)
    plugins = request.plugins
    data = {canonical(trial.dataset): trial for trial in request.trials}
    rows = [
        {
            "what": f"data {brief(trial.dataset)}",
            "state": "missing" if "missing" in trial.data else "ok",
            "detail": trial.data.get("missing", ""),
        }
        for trial in data.values()
    ]
    runnable = [trial for trial in request.trials if why_not_runnable(trial, plugins) is None]
    executor = plugins.build("executor", {"name": EXECUTOR, "slots": 1})
    try:
        for trial in representatives(runnable, plugins):
            backend = trial.backend["name"]
            typer.echo(f"compiling for {backend}", err=True)
            with tempfile.TemporaryDirectory() as folder:
                job = Job(
                    trial=trial,
                    folder=Path(folder),
                    data_dir=request.options.data_dir,
                    plugin_files=plugins.files,
                    numba_cache=cache_folder(trial, plugins),
                )
                handle = executor.submit(compile_job(job))
                try:
                    while (outcome := handle.poll()) is None:
                        time.sleep(POLL_SECONDS)
                except BaseException:
                    handle.stop(kill=True)
                    raise
            detail = f"{outcome.get('cause', '')} {outcome.get('detail', '')}".strip()
            state = str(outcome["status"])
            rows.append({"what": f"kernels {backend}", "state": state, "detail": detail})
    finally:
        executor.close()
    print_rows(rows, format)
    if not runnable:
        raise NothingMatched(f"{request.suite.name}: none of its trials can be run here")
