"""`sparsebench show`, `logs`: a run, a trial with all that was measured, what its process wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_json, print_rows
from sparsebench.errors import NothingMatched, printable, printable_lines
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    from sparsebench.store.record import Record
    from sparsebench.store.store import Store


def command(
    name: Annotated[str, typer.Argument(metavar="RUN|TRIAL", help="Run id, or trial id.")],
    store: o.Store,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show a run by cell, or all that is recorded of a trial."""
    from sparsebench.cli.results import result_rows
    from sparsebench.store.store import Store

    results = Store(store)
    if _is_trial(name, results):
        _show_trial(results.find_trial(name), format)
        return
    run = results.run(name)
    if format == "json":
        records = [record.to_json() for record in run.records]
        print_json({"run": run.id, "manifest": run.manifest, "records": records})
        return
    typer.echo(f"run {run.id}: {printable(str(run.manifest.get('title', '')))}", err=True)
    print_rows(result_rows(run.records), format)


def _is_trial(name: str, store: Store) -> bool:
    """Whether it looks like the id of a trial and is no run's."""
    if not re.fullmatch(r"[0-9a-f]{2,16}", name) or Path(name).is_dir():
        return False
    return not any(run.startswith(name) for run in store.runs())


def _show_trial(records: list[Record], format: str) -> None:
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
        rows = [{"what": k, "value": v} for k, v in facts.items() if v not in ("", None)]
        print_rows(rows, format)
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
    from sparsebench.store.store import Store

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
