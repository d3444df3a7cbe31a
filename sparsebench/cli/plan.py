"""`sparsebench plan`: the trials of a suite, without running them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.asked import Asked, ask
from sparsebench.cli.listing import print_json, print_rows
from sparsebench.core.trial import Trial
from sparsebench.run.fingerprint import fingerprint
from sparsebench.run.options import Options
from sparsebench.run.planning.prediction import Prediction, predict, refusal
from sparsebench.run.reuse import absent, reusable
from sparsebench.store.store import Store
from sparsebench.suite.labels import label
from sparsebench.suite.where import matches
from sparsebench.units import brief_seconds, brief_size


def command(
    suite: o.SuiteName,
    set: o.Set = None,
    seeds: o.Seeds = None,
    quick: o.Quick = False,
    select: o.Select = None,
    shard: o.Shard = None,
    store: o.Store = o.DEFAULT_STORE,
    data: o.Data = None,
    threads: o.Threads = None,
    timeout: o.Timeout = None,
    memory_limit: o.MemoryLimit = None,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the backends now, to predict seconds.")
    ] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List the trials SUITE asks for, what each needs, and which of them `run` would reuse."""
    asked = ask(
        suite,
        sets=set,
        seeds=seeds,
        quick=quick,
        expression=select,
        shard=shard,
        data=data,
        threads=threads,
        timeout=timeout,
        memory_limit=memory_limit,
        plugin_files=plugin,
        allow_plugins=allow_plugins,
    )
    options = Options(store=store, data_dir=asked.data_dir)
    print_plan(asked, options, format, json, measure=measure)


def print_plan(
    asked: Asked, options: Options, format: o.Format, as_json: bool, *, measure: bool = False
) -> None:
    """The trials on stdout, their number and what they need on stderr."""
    shelf = Store(options.store)
    predictions = _predictions(asked, measure)
    notes = [
        _note(trial, prediction, asked, shelf, options)
        for trial, prediction in zip(asked.trials, predictions, strict=True)
    ]
    planned = list(zip(asked.trials, predictions, notes, strict=True))
    if as_json or format == "json":
        print_json(
            {
                "suite": asked.suite.name,
                "trials": [
                    {"id": trial.id, "cell": trial.cell, "label": label(trial), "note": note}
                    | prediction.measures()
                    | {"predicted_seconds": _total(trial, prediction)}
                    | trial.to_json()
                    for trial, prediction, note in planned
                ],
            }
        )
        return
    print_rows([_row(*one) for one in planned], format)
    kept = [sum(note.startswith(word) for note in notes) for word in ("reused", "stale")]
    told = [f"{count} {word}" for count, word in zip(kept, ("reused", "stale")) if count]
    line = ", ".join([f"{len(notes)} trials of {asked.suite.name}", *told])
    typer.echo("; ".join([line, *_needs(planned)]), err=True)


def _predictions(asked: Asked, measure: bool) -> list[Prediction]:
    rates = None
    if measure:
        from sparsebench.run.layer_timing import measured_rates

        able = [trial for trial in asked.trials if absent(trial, asked.plugins) is None]
        rates = measured_rates(able, asked.plugins, asked.data_dir)
    return [predict(trial, asked.plugins, rates) for trial in asked.trials]


def _total(trial: Trial, prediction: Prediction) -> float | None:
    """Seconds of training: no start, no compilation, no evaluation."""
    epoch = prediction.epoch_seconds
    return epoch * trial.epochs if epoch is not None else None


def _row(trial: Trial, prediction: Prediction, note: str) -> dict[str, Any]:
    least, epoch = prediction.least_bytes, prediction.epoch_seconds
    total = _total(trial, prediction)
    return {
        "trial": trial.id,
        "what": label(trial),
        "bytes": f"at least {brief_size(least)}" if least is not None else "unknown",
        "seconds per epoch": f"{epoch:.3g}" if epoch is not None else "",
        "total time": brief_seconds(total) if total is not None else "",
        "note": note,
    }


def _needs(planned: list[tuple[Trial, Prediction, str]]) -> list[str]:
    """The memory of the largest trial that would run, and the time of all; empty if unknown."""
    running = [(t, p) for t, p, note in planned if not note.startswith(("reused", "refused"))]
    sizes = [p.least_bytes for _, p in running if p.least_bytes is not None]
    totals = [total for t, p in running if (total := _total(t, p)) is not None]
    needs = [f"the largest needs at least {brief_size(max(sizes))}"] if sizes else []
    return [*needs, f"{brief_seconds(sum(totals))} of training"] if totals else needs


def _note(
    trial: Trial, prediction: Prediction, asked: Asked, shelf: Store, options: Options
) -> str:
    """Why it cannot run here; else whether it need not, whether it is refused, and what the suite
    expects of it."""
    reason = absent(trial, asked.plugins)
    if reason is not None:
        return ": ".join(reason)
    expected = [e.status for e in asked.suite.expects if matches(e.where, trial)]
    kept = _kept(trial, asked, shelf, options)
    refused = ""
    if options.predict and not kept.startswith("reused") and "out-of-memory" not in expected:
        refused = refusal(trial, prediction)
    notes = [f"refused: {refused}" if refused else "", kept]
    return "; ".join(filter(None, [*notes, f"expected: {expected[0]}" if expected else ""]))


def _kept(trial: Trial, asked: Asked, shelf: Store, options: Options) -> str:
    """`reused` with the record's status, or `stale` if only its code is another."""
    records = shelf.records(trial.id)
    if not records:
        return ""
    today = fingerprint(trial, asked.plugins)
    found = reusable(trial, records, today, options)
    if found is not None:
        return f"reused ({found.status})"
    stale = reusable(trial, records, today, replace(options, reuse_stale=True))
    return "stale" if stale is not None else ""
