"""`sparsebench plan`: the trials of a suite, without running them."""

from __future__ import annotations

import typer

from sparsebench.cli import options as o
from sparsebench.cli.asked import Asked, ask, why_not
from sparsebench.cli.listing import print_json, print_rows
from sparsebench.suite.where import matches


def command(
    suite: o.SuiteName,
    set: o.Set = None,
    seeds: o.Seeds = None,
    quick: o.Quick = False,
    select: o.Select = None,
    data: o.Data = None,
    threads: o.Threads = None,
    timeout: o.Timeout = None,
    memory_limit: o.MemoryLimit = None,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List the trials SUITE asks for, without running them."""
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
    print_plan(asked, format, json)


def print_plan(asked: Asked, format: o.Format, as_json: bool) -> None:
    """The trials on stdout, their number on stderr."""
    notes = [_note(asked, index) for index in range(len(asked.trials))]
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
    typer.echo(f"{len(asked.trials)} trials of {asked.suite.name}", err=True)


def _note(asked: Asked, index: int) -> str:
    trial = asked.trials[index]
    expected = [e.status for e in asked.suite.expects if matches(e.where, trial)]
    told = why_not(trial, asked.plugins)
    return told or (f"expected: {expected[0]}" if expected else "")
