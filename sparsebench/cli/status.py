"""`sparsebench status`: how far a run is, also from another terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_json, print_rows, print_tables
from sparsebench.errors import StoreError
from sparsebench.store.json_files import read_object

if TYPE_CHECKING:
    from sparsebench.store.store import Store, StoredRun


def command(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Default: latest.")] = "latest",
    store: o.Store = o.DEFAULT_STORE,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Say how many trials of RUN have ended, and how, and which are under way."""
    from sparsebench.store.store import Store

    found = state_of(Store(store).run(run))
    if json or format == "json":
        print_json(found)
        return
    if format == "md":
        summary = {**found, "counts": [f"{n} {status}" for status, n in found["counts"].items()]}
        del summary["under_way"]
        print_tables([[summary], found["under_way"]], format)
        return
    counts = ", ".join(f"{count} {status}" for status, count in found["counts"].items())
    over = "over" if found["over"] else "not over"
    typer.echo(f"run {found['run']}: {over}, {found['ended']} of {found['trials']} trials ended")
    if counts:
        typer.echo(counts)
    print_rows(found["under_way"], format)


def state_of(run: StoredRun) -> dict[str, Any]:
    """Counts, and a row per trial under way."""
    events = run.events()
    begun = {e["trial"]: e["attempt"] for e in events if e["event"] in ("began", "recorded")}
    records = {record.trial.id: record for record in run.records}
    return {
        "run": run.id,
        "over": any(event["event"] == "ended" for event in events),
        "trials": len(run.manifest["trials"]),
        "ended": len(records),
        "counts": dict(Counter(str(record.status) for record in records.values())),
        "under_way": [
            {"trial": trial, **_progress(run.store, trial, attempt)}
            for trial, attempt in begun.items()
            if trial not in records
        ],
    }


def _progress(store: Store, trial: str, attempt: int) -> dict[str, Any]:
    """Of an attempt under way; nothing known is None."""
    try:
        state = read_object(store.attempt_folder(trial, attempt) / "progress.json", store.root)
    except StoreError:
        state = {}
    return {key: state.get(key) for key in ("epoch", "epochs", "loss", "accuracy")}
