"""`sparsebench show`, `logs`, `status`: a run or a trial, its output, and the progress of a run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import completion
from sparsebench.cli import options as o
from sparsebench.cli.output import (
    print_damage,
    print_json,
    print_rows,
    print_tables,
    result_table,
)
from sparsebench.core.trial import Trial
from sparsebench.errors import NothingMatched, StoreError, printable, printable_lines
from sparsebench.metrics import BUILT_IN
from sparsebench.store.safe_files import read_object
from sparsebench.store.store import Store, StoredRun
from sparsebench.suite.labels import brief, flat, label
from sparsebench.units import brief_seconds, brief_size


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN|TRIAL",
            help="Run id or 'latest'; trial id, or words of its label.",
            autocompletion=completion.runs,
        ),
    ],
    store: o.Store,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show the cells of a run, or all that is known of a trial.

    A cell is all trials that differ only in seed and fold; its numbers are means over these. The
    settings of a run are those that all its trials share. Of a trial, the last attempt is shown.
    """
    results = Store(store)
    is_run = name == "latest" or Path(name).is_dir() or os.sep in name
    if is_run or any(run.startswith(name) for run in results.runs()):
        _show_run(results.run(name), format)
        return
    try:
        records = results.find_trial(name)
    except NothingMatched:
        from sparsebench.analysis.baseline import names

        see = f"baseline show {name}" if name in names(results) else "ls runs"
        raise StoreError(
            f"no run and no trial {name!r} in {results.path}; see: sparsebench {see}"
        ) from None
    if format == "json":
        print_json([record.to_json() for record in records])
    elif not records:
        typer.echo("no attempt has ended", err=True)
    else:
        record = records[-1]
        facts = {
            "trial": record.trial.id,
            "what": label(record.trial),
            "attempt": f"{record.attempt} ({len(records)} ended)",
            "status": str(record.status),
            "cause": record.cause,
            "detail": record.detail,
            "started": record.started,
            "ended": record.ended,
            **_settings(record.trial),
            **record.measures,
            **dict(_flat(record.phases)),
            **dict(_flat({"machine": record.machine, "setting": record.settings})),
            **dict(_flat({"audit": record.audit, "noise": record.noise}, join_lists=True)),
        }
        _print_facts(facts, format)
        if record.log_tail:
            typer.echo(printable_lines(record.log_tail))


def _show_run(run: StoredRun, format: str) -> None:
    records, manifest = run.records, run.manifest
    if format == "json":
        found = {"run": run.id, "manifest": manifest}
        print_json({**found, "records": [record.to_json() for record in records]})
        return
    state = run.state()
    counts = ", ".join(f"{count} {status}" for status, count in state.counts.items())
    settings = [_settings(record.trial) for record in records]
    first = settings[0] if settings else {}
    program, *words = [str(word) for word in manifest.get("argv", ())] or [""]
    machine = manifest.get("machine", {})
    facts = {
        "run": run.id,
        "title": manifest.get("title", ""),
        "state": f"{state.word}: {state.ended} of {state.planned} trials ended",
        "trials": counts,
        "command": shlex.join([Path(program).name, *words]) if program else "",
        "commit": manifest.get("git", {}).get("commit", ""),
        "machine": machine.get("cpu", ""),
        "machine memory_bytes": machine.get("memory_bytes"),
        **{k: v for k, v in first.items() if all(one.get(k) == v for one in settings)},
    }
    _print_facts(facts, format)
    typer.echo()
    print_rows(result_table(records), format)
    print_damage(state.damaged)


def _settings(trial: Trial) -> dict[str, Any]:
    """The hyperparameters and limits of a trial by dotted key, without those that are not set."""
    left_out = ("data", "locations", "suite", "axes", "words", "defaults")
    settings = {k: v for k, v in trial.to_json().items() if k not in left_out}
    settings["observers"] = ", ".join(one["name"] for one in trial.observers)
    return {key: value for key, value in flat(settings).items() if value is not None}


def _print_facts(facts: Mapping[str, Any], format: str) -> None:
    rows = [{"what": key, "value": _with_unit(key, value)} for key, value in facts.items()]
    print_rows([row for row in rows if row["value"] not in ("", None)], format)


def _with_unit(key: str, value: Any) -> Any:
    """The value of a metric, a limit or another quantity, with the unit that follows from its
    key."""
    from sparsebench.analysis.number_format import in_unit, one

    if isinstance(value, bool) or not isinstance(value, int | float):
        return brief(value) if isinstance(value, list | tuple) else value
    metric = BUILT_IN.get(key)
    if metric is not None and metric.unit != "number":
        return f"{in_unit(metric, one(value))}{' /s' if metric.unit == 'per second' else ''}"
    if key in ("timeout", "checkpoint") or key.endswith("seconds"):
        return brief_seconds(value) if value >= 60 else f"{value:.4g} s"
    return brief_size(value) if key == "memory_limit" or key.endswith("bytes") else value


def _flat(nested: Mapping[str, Any], *, join_lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables, with their keys joined by spaces. The items of a list are
    numbered, or with `join_lists` joined by commas."""
    for key, value in nested.items():
        if isinstance(value, list | tuple):
            joined = ", ".join(map(str, value)) or "none"
            value = joined if join_lists else dict(enumerate(value))
        if isinstance(value, Mapping):
            yield from ((f"{key} {inner}", v) for inner, v in _flat(value, join_lists=join_lists))
        else:
            yield key, value


def logs(
    trial: o.TrialId,
    store: o.Store,
    attempt: Annotated[int | None, typer.Option(help="Which attempt; default: the last.")] = None,
) -> None:
    """Print the output of a trial, even while it runs."""
    results = Store(store)
    trial_id = results.trial_id(trial)
    known = results.attempts(trial_id)
    chosen = attempt if attempt is not None else max(known, default=0)
    if chosen not in known:
        wanted = "attempt" if attempt is None else f"attempt {attempt}"
        listed = ", ".join(map(str, known)) or "none"
        raise NothingMatched(f"no {wanted} at trial {trial}. Known: {listed}")
    for name in ("stdout.log", "stderr.log"):
        text = results.log(trial_id, chosen, name)
        typer.echo(f"== {name} of attempt {chosen}{'' if text else ' (empty)'}", err=True)
        typer.echo(text, nl=bool(text) and not text.endswith("\n"))


def status(
    store: o.Store,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Default: latest.")] = "latest",
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show the progress of a run.

    How many trials have ended, and how, and which are running.
    """
    found = Store(store).run(run)
    state = found.state()
    running = []
    for trial, attempt in state.running.items():
        file = found.store.attempt_folder(trial, attempt) / "progress.json"
        try:
            progress = read_object(file, found.store.root)
        except StoreError:
            progress = {}
        known = {key: progress.get(key) for key in ("epoch", "epochs", "loss", "accuracy")}
        running.append({"trial": trial, **known})
    listed = [f"{count} {status}" for status, count in state.counts.items()]
    if format == "text":
        typer.echo(f"run {found.id}: {state.word}, {state.ended} of {state.planned} trials ended")
        if listed:
            typer.echo(printable(", ".join(listed)))
        print_rows(running)
        print_damage(state.damaged)
        return
    facts = {
        "run": found.id,
        "state": state.word,
        "over": state.word in ("over", "interrupted"),
        "trials": state.planned,
        "ended": state.ended,
    }
    data = {**facts, "counts": state.counts, "under_way": running}
    print_tables([[{**facts, "counts": listed}], running], format, json=data)
