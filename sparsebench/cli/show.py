"""`sparsebench show`, `logs`, `status`: a run or a trial, its output, and how far a run is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_json, print_rows, print_tables, result_rows
from sparsebench.errors import NothingMatched, StoreError, printable, printable_lines
from sparsebench.store.safe_files import read_object
from sparsebench.store.store import Store
from sparsebench.suite.labels import label


def show(
    name: Annotated[str, typer.Argument(metavar="RUN|TRIAL", help="Run id, or trial id.")],
    store: o.Store,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show a run by cell, or all that is recorded of a trial."""
    results = Store(store)
    looks_like_a_trial = re.fullmatch(r"[0-9a-f]{2,16}", name) and not Path(name).is_dir()
    if not looks_like_a_trial or any(run.startswith(name) for run in results.runs()):
        run = results.run(name)
        rows = [record.to_json() for record in run.records] if format == "json" else []
        if format != "json":
            typer.echo(f"run {run.id}: {printable(str(run.manifest.get('title', '')))}", err=True)
        found = {"run": run.id, "manifest": run.manifest, "records": rows}
        print_rows(result_rows(run.records), format, json=found)
        return
    records = results.find_trial(name)
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
            "observers": ", ".join(one["name"] for one in record.trial.observers),
            **record.measures,
            **dict(_flat(record.phases)),
            **dict(_flat({"machine": record.machine, "setting": record.settings})),
            **dict(_flat({"audit": record.audit, "noise": record.noise}, join_lists=True)),
        }
        print_rows([{"what": k, "value": v} for k, v in facts.items() if v not in ("", None)],
                   format)  # fmt: skip
        if record.log_tail:
            typer.echo(printable_lines(record.log_tail))


def _flat(nested: Mapping[str, Any], *, join_lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Values of nested tables by their keys joined with spaces; the items of a list are numbered,
    or with `join_lists` one value with commas."""
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
    """Print what a trial wrote, also while it runs."""
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
        typer.echo(f"== {name} of attempt {chosen}", err=True)
        typer.echo(text, nl=bool(text) and not text.endswith("\n"))


def status(
    store: o.Store,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Default: latest.")] = "latest",
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show how far a run is.

    How many trials have ended, and how, and which are running.
    """
    found = Store(store).run(run)
    events = found.events()
    begun = {e["trial"]: e["attempt"] for e in events if e["event"] in ("began", "recorded")}
    records = {record.trial.id: record for record in found.records}
    running = []
    for trial in [one for one in begun if one not in records]:
        file = found.store.attempt_folder(trial, begun[trial]) / "progress.json"
        try:
            state = read_object(file, found.store.root)
        except StoreError:
            state = {}
        known = {key: state.get(key) for key in ("epoch", "epochs", "loss", "accuracy")}
        running.append({"trial": trial, **known})
    counts = Counter(str(record.status) for record in records.values())
    listed = [f"{count} {status}" for status, count in counts.items()]
    over = any(event["event"] == "ended" for event in events)
    total, ended = len(found.manifest["trials"]), len(records)
    facts = {"run": found.id, "over": over, "trials": total, "ended": ended}
    if format == "text":
        word = "over" if over else "not over"
        typer.echo(f"run {found.id}: {word}, {ended} of {total} trials ended")
        if listed:
            typer.echo(", ".join(listed))
        print_rows(running)
    else:
        data = {**facts, "counts": dict(counts), "under_way": running}
        print_tables([[{**facts, "counts": listed}], running], format, json=data)
