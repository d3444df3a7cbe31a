"""`sparsebench plan`: the trials of a suite, without running them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_json, print_rows
from sparsebench.core.trial import Trial
from sparsebench.run.fingerprint import fingerprint
from sparsebench.run.planning.prediction import Prediction, predict, refusal
from sparsebench.run.request import RunRequest, resolve
from sparsebench.run.reuse import absent, reusable
from sparsebench.store.store import Store
from sparsebench.suite.labels import label
from sparsebench.suite.where import matches
from sparsebench.units import brief_seconds, brief_size


@o.with_options(o.selection)
def command(
    options: dict[str, Any],
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the backends now, to predict seconds.")
    ] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List the trials of SUITE and what each needs.

    A note says which of them `run` would reuse.
    """
    print_plan(resolve(**options), format, measure=measure)


def print_plan(request: RunRequest, format: str, *, measure: bool = False) -> None:
    """The trials on stdout; their number and what they need in all on stderr."""
    rates = None
    if measure:
        from sparsebench.run.layer_timing import measured_rates

        runnable = [trial for trial in request.trials if absent(trial, request.plugins) is None]
        rates = measured_rates(runnable, request.plugins, request.options.data_dir)
    store = Store(request.options.store)
    planned = []
    for trial in request.trials:
        prediction = predict(trial, request.plugins, rates)
        planned.append((trial, prediction, _note(trial, prediction, request, store)))
    if format == "json":
        trials = [
            {"id": trial.id, "cell": trial.cell, "label": label(trial), "note": note}
            | prediction.measures()
            | {"predicted_seconds": _training_seconds(trial, prediction)}
            | trial.to_json()
            for trial, prediction, note in planned
        ]
        print_json({"suite": request.suite.name, "trials": trials})
        return
    print_rows([_row(*one) for one in planned], format)
    counts = {
        word: sum(note.startswith(word) for _, _, note in planned) for word in ("reused", "stale")
    }
    line = ", ".join(
        [f"{len(planned)} trials of {request.suite.name}"]
        + [f"{count} {word}" for word, count in counts.items() if count]
    )
    to_run = [(t, p) for t, p, note in planned if not note.startswith(("reused", "refused"))]
    sizes = [p.least_bytes for _, p in to_run if p.least_bytes is not None]
    seconds = [found for t, p in to_run if (found := _training_seconds(t, p)) is not None]
    needs = [f"the largest needs at least {brief_size(max(sizes))}"] if sizes else []
    needs += [f"{brief_seconds(sum(seconds))} of training"] if seconds else []
    typer.echo("; ".join([line, *needs]), err=True)


def _training_seconds(trial: Trial, prediction: Prediction) -> float | None:
    """Seconds of training, without start, compilation and evaluation."""
    epoch = prediction.epoch_seconds
    return epoch * trial.epochs if epoch is not None else None


def _row(trial: Trial, prediction: Prediction, note: str) -> dict[str, Any]:
    least, epoch = prediction.least_bytes, prediction.epoch_seconds
    total = _training_seconds(trial, prediction)
    return {
        "trial": trial.id,
        "what": label(trial),
        "bytes": f"at least {brief_size(least)}" if least is not None else "unknown",
        "seconds per epoch": f"{epoch:.3g}" if epoch is not None else "",
        "total time": brief_seconds(total) if total is not None else "",
        "note": note,
    }


def _note(trial: Trial, prediction: Prediction, request: RunRequest, store: Store) -> str:
    """Why the trial cannot run here; else whether it is refused, whether its record is reused, and
    what the suite expects of it."""
    reason = absent(trial, request.plugins)
    if reason is not None:
        return ": ".join(reason)
    expected = [e.status for e in request.suite.expects if matches(e.where, trial)]
    notes = [_reuse(trial, request, store)]
    if request.options.predict and "out-of-memory" not in expected:
        refused = "" if notes[0].startswith("reused") else refusal(trial, prediction)
        notes.insert(0, f"refused: {refused}" if refused else "")
    return "; ".join(filter(None, [*notes, f"expected: {expected[0]}" if expected else ""]))


def _reuse(trial: Trial, request: RunRequest, store: Store) -> str:
    """`reused` with the record's status, or `stale` if only its code differs from today's."""
    records = store.records(trial.id)
    if not records:
        return ""
    today = fingerprint(trial, request.plugins)
    found = reusable(trial, records, today, request.options)
    if found is not None:
        return f"reused ({found.status})"
    stale = reusable(trial, records, today, replace(request.options, reuse_stale=True))
    return "stale" if stale is not None else ""
