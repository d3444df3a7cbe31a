"""`sparsebench show`: a run, or a trial with all that was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_json, print_rows
from sparsebench.errors import printable, spelt_out
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    from sparsebench.store.record import Record
    from sparsebench.store.store import Store, StoredRun


def command(
    what: Annotated[str, typer.Argument(metavar="RUN|TRIAL", help="Run id, or trial id.")],
    store: o.Store = o.DEFAULT_STORE,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show a run's results by cell, or everything that is recorded of a trial."""
    from sparsebench.store.store import Store

    shelf = Store(store)
    if is_trial(what, shelf):
        _show_trial(shelf.find_trial(what), format, json)
    else:
        _show_run(shelf.run(what), format, json)


def is_trial(name: str, shelf: Store) -> bool:
    """Whether it looks like a trial's id and is no run's."""
    if not re.fullmatch(r"[0-9a-f]{2,16}", name):
        return False
    return not any(run.startswith(name) for run in shelf.runs()) and not Path(name).is_dir()


def _show_run(run: StoredRun, format: o.Format, as_json: bool) -> None:
    from sparsebench.cli.results import result_rows

    if as_json or format == "json":
        records = [record.to_json() for record in run.records]
        print_json({"run": run.id, "manifest": run.manifest, "records": records})
        return
    typer.echo(f"run {run.id}: {printable(str(run.manifest.get('title', '')))}", err=True)
    print_rows(result_rows(run.records), format)


def _show_trial(records: list[Record], format: o.Format, as_json: bool) -> None:
    if as_json or format == "json":
        print_json([record.to_json() for record in records])
    elif not records:
        typer.echo("no attempt has ended", err=True)
    else:
        print_rows(_facts(records[-1], len(records)), format)
        if records[-1].log_tail:
            lines = records[-1].log_tail.rstrip().expandtabs().splitlines()
            typer.echo("\n".join(map(spelt_out, lines)))


def _facts(record: Record, attempts: int) -> list[dict[str, Any]]:
    """A row per thing known of the last attempt."""
    facts: dict[str, Any] = {
        "trial": record.trial.id,
        "what": label(record.trial),
        "attempt": f"{record.attempt} ({attempts} ended)",
        "status": str(record.status),
        "cause": record.cause,
        "detail": record.detail,
        "started": record.started,
        "ended": record.ended,
        "observers": ", ".join(one["name"] for one in record.trial.observers),
        **record.measures,
        **{
            f"{phase} {name}": value
            for phase, found in record.phases.items()
            for name, value in found.items()
        },
        **{f"machine {key}": value for key, value in record.machine.items()},
        **{f"setting {key}": value for key, value in _flat(record.settings)},
        **{f"audit {key}": value for key, value in _flat(_in_words(record.audit))},
        **{f"noise {key}": value for key, value in _flat(_in_words(record.noise))},
    }
    return [
        {"what": key, "value": value} for key, value in facts.items() if value not in ("", None)
    ]


def _in_words(found: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as words with commas between; `none` where a list is empty."""
    return {
        key: (", ".join(map(str, value)) or "none") if isinstance(value, list | tuple) else value
        for key, value in found.items()
    }


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Nested settings as one word after the other; what a list has, numbered."""
    for key, value in settings.items():
        if isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, dict):
            yield from ((f"{key} {inner}", found) for inner, found in _flat(value))
        else:
            yield key, value
