"""`sparsebench run`: a suite, from file to records."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.plan import print_plan
from sparsebench.cli.printing import append_step_summary, as_markdown, print_json, print_rows
from sparsebench.run.options import Summary, executor_of
from sparsebench.run.request import RunRequest, resolve
from sparsebench.run.user_config import DEFAULT_STORE


@o.with_options(o.selection, o.execution)
def command(
    options: dict[str, Any],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the trials.")] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Run the trials of SUITE and keep their records.

    Each trial runs in a process of its own.

    Exit codes: 0 all ended as the suite expects; 1 a trial failed; 2 usage; 5 nothing matched or
    nothing ran; 130 and 143 stopped, finished trials are kept.
    """
    request = resolve(**options)
    executor_of(request.options, request.plugins)
    if dry_run:
        print_plan(request, format)
        return
    summary = _run(request)
    _print_summary(summary, format)
    raise typer.Exit(summary.exit_code)


def _run(request: RunRequest) -> Summary:
    from sparsebench.cli.progress import listener
    from sparsebench.run import noise
    from sparsebench.run.session import run_trials

    options = replace(request.options, argv=tuple(sys.argv))
    with listener(plain=options.debug) as shown:
        for line in () if options.debug else noise.now():
            shown.note(line)
        return run_trials(request.suite, request.trials, request.plugins, options, shown)


def _print_summary(summary: Summary, format: str) -> None:
    from sparsebench.cli.results import result_rows

    rows = result_rows(summary.records)
    if format == "json":
        print_json(
            {
                "run": summary.run,
                "store": str(Path(summary.store).resolve()),
                "counts": {str(status): count for status, count in summary.counts.items()},
                "reused": summary.reused,
                "exit_code": summary.exit_code,
                "cells": rows,
            }
        )
    else:
        print_rows(rows, format)
        typer.echo(f"{len(summary.records)} records, {summary.reused} of them reused", err=True)
        where = "" if summary.store == DEFAULT_STORE else f" --store {summary.store}"
        typer.echo(f"next: sparsebench report {summary.run}{where}", err=True)
    if rows:
        append_step_summary(f"### sparsebench run {summary.run}\n\n{as_markdown(rows)}\n")
