"""`sparsebench plan`: the trials of a suite, without running them."""

from __future__ import annotations

from dataclasses import replace

import typer

from sparsebench.cli import options as o
from sparsebench.cli.asked import Asked, ask
from sparsebench.cli.listing import print_json, print_rows
from sparsebench.execution.fingerprint import fingerprint
from sparsebench.execution.options import Options
from sparsebench.execution.resume import absent, reusable
from sparsebench.records.store import Store
from sparsebench.suite.trial import Trial
from sparsebench.suite.where import matches


def command(
    suite: o.SuiteName,
    set: o.Set = None,
    seeds: o.Seeds = None,
    quick: o.Quick = False,
    select: o.Select = None,
    store: o.Store = o.DEFAULT_STORE,
    data: o.Data = None,
    threads: o.Threads = None,
    timeout: o.Timeout = None,
    memory_limit: o.MemoryLimit = None,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List the trials SUITE asks for, and which of them have a record that `run` would reuse."""
    asked = ask(
        suite,
        sets=set,
        seeds=seeds,
        quick=quick,
        expression=select,
        data=data,
        threads=threads,
        timeout=timeout,
        memory_limit=memory_limit,
        plugin_files=plugin,
        allow_plugins=allow_plugins,
    )
    print_plan(asked, Options(store=store, data_dir=asked.data_dir), format, json)


def print_plan(asked: Asked, options: Options, format: o.Format, as_json: bool) -> None:
    """The trials on stdout, their number on stderr."""
    shelf = Store(options.store)
    notes = [_note(trial, asked, shelf, options) for trial in asked.trials]
    if as_json or format == "json":
        print_json(
            {
                "suite": asked.suite.name,
                "trials": [
                    {"id": trial.id, "cell": trial.cell, "label": trial.label(), "note": note}
                    | trial.to_json()
                    for trial, note in zip(asked.trials, notes, strict=True)
                ],
            }
        )
        return
    print_rows(
        [
            {"trial": trial.id, "what": trial.label(), "note": note}
            for trial, note in zip(asked.trials, notes, strict=True)
        ],
        format,
    )
    kept = [sum(note.startswith(word) for note in notes) for word in ("reused", "stale")]
    told = [f"{count} {word}" for count, word in zip(kept, ("reused", "stale")) if count]
    typer.echo(", ".join([f"{len(notes)} trials of {asked.suite.name}", *told]), err=True)


def _note(trial: Trial, asked: Asked, shelf: Store, options: Options) -> str:
    """Why it cannot run here; else whether it need not, and what the suite expects of it."""
    reason = absent(trial, asked.plugins)
    if reason is not None:
        return ": ".join(reason)
    expected = [e.status for e in asked.suite.expects if matches(e.where, trial)]
    notes = [_kept(trial, asked, shelf, options), f"expected: {expected[0]}" if expected else ""]
    return "; ".join(filter(None, notes))


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
