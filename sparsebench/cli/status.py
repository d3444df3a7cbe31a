"""`sparsebench status`: how far a run is, also from another terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_json, print_rows, print_tables
from sparsebench.errors import StoreError
from sparsebench.store.json_files import read_object

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun


def command(
    store: o.Store,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Default: latest.")] = "latest",
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show how far a run is.

    How many trials have ended, and how, and which are running.
    """
    from sparsebench.store.store import Store

    found = state_of(Store(store).run(run))
    counts = [f"{count} {status}" for status, count in found["counts"].items()]
    if format == "json":
        print_json(found)
    elif format == "md":
        running = found.pop("under_way")
        print_tables([[{**found, "counts": counts}], running], format)
    else:
        over = "over" if found["over"] else "not over"
        progress = f"{found['ended']} of {found['trials']} trials ended"
        typer.echo(f"run {found['run']}: {over}, {progress}")
        if counts:
            typer.echo(", ".join(counts))
        print_rows(found["under_way"], format)


def state_of(run: StoredRun) -> dict[str, Any]:
    """Counts, and a row per trial that is running."""
    events = run.events()
    begun = {e["trial"]: e["attempt"] for e in events if e["event"] in ("began", "recorded")}
    records = {record.trial.id: record for record in run.records}
    running = []
    for trial, attempt in begun.items():
        if trial not in records:
            file = run.store.attempt_folder(trial, attempt) / "progress.json"
            try:
                state = read_object(file, run.store.root)
            except StoreError:
                state = {}
            known = {key: state.get(key) for key in ("epoch", "epochs", "loss", "accuracy")}
            running.append({"trial": trial, **known})
    return {
        "run": run.id,
        "over": any(event["event"] == "ended" for event in events),
        "trials": len(run.manifest["trials"]),
        "ended": len(records),
        "counts": dict(Counter(str(record.status) for record in records.values())),
        "under_way": running,
    }
