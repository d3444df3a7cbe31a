"""`sparsebench run`: a suite, from file to records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sparsebench.cli import options as o
from sparsebench.cli.asked import Asked, ask
from sparsebench.cli.listing import as_markdown, print_json, print_rows
from sparsebench.cli.plan import print_plan
from sparsebench.run.options import Options, Summary, executor_of
from sparsebench.run.planning.sharding import parse_shard


def command(
    suite: o.SuiteName,
    set: o.Set = None,
    seeds: o.Seeds = None,
    quick: o.Quick = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the trials only.")] = False,
    select: o.Select = None,
    shard: o.Shard = None,
    store: o.Store = o.DEFAULT_STORE,
    data: o.Data = None,
    jobs: Annotated[
        int, typer.Option(envvar="SPARSEBENCH_JOBS", min=1, help="Trials at a time.")
    ] = 1,
    threads: o.Threads = None,
    executor: Annotated[
        str, typer.Option(envvar="SPARSEBENCH_EXECUTOR", help="Where trials run.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            envvar="SPARSEBENCH_ADDRESS", metavar="URL", help="Of a cluster's scheduler: tcp://..."
        ),
    ] = None,
    timeout: o.Timeout = None,
    memory_limit: o.MemoryLimit = None,
    resume: Annotated[bool, typer.Option(help="Reuse finished records that still hold.")] = True,
    rerun: Annotated[Literal["failed", "all"] | None, typer.Option(help="Run these again.")] = None,
    reuse_stale: Annotated[
        bool, typer.Option("--reuse-stale", help="Reuse records of older code, too.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.")
    ] = False,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    planned: Annotated[
        bool,
        typer.Option(
            "--plan/--no-plan",
            help="Skip what cannot fit the memory limit.",
        ),
    ] = True,
    audit: Annotated[
        bool, typer.Option(help="Probe the backends for dense work first, once a machine.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="One trial, in this process, with pdb.")
    ] = False,
    identify: Annotated[
        bool, typer.Option("--identify", help="Name this host in the run's manifest.")
    ] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Run the trials of SUITE, each in a process of its own, and keep their records.

    Exit codes: 0 all ended as the suite expects; 1 a trial failed; 5 nothing matched or ran; 130
    and 143 stopped, finished trials are kept; 2 usage.
    """
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
    asked.plugins.entry("executor", executor)
    options = Options(
        store=store,
        data_dir=asked.data_dir,
        jobs=jobs,
        executor=executor,
        address=address,
        shard=str(parse_shard(shard)) if shard is not None else None,
        resume=resume,
        rerun=rerun,
        reuse_stale=reuse_stale,
        fail_fast=fail_fast,
        predict=planned,
        audit=audit,
        debug=debug,
        identify=identify,
        argv=tuple(sys.argv),
    )
    executor_of(options, asked.plugins)
    if dry_run:
        print_plan(asked, options, format, json)
        return
    summary = _run(asked, options)
    _print_summary(summary, format, json)
    raise typer.Exit(summary.exit_code)


def _run(asked: Asked, options: Options) -> Summary:
    from sparsebench.cli.progress import listener
    from sparsebench.run import noise
    from sparsebench.run.session import run_trials

    with listener(plain=options.debug) as shown:
        for line in () if options.debug else noise.now():
            shown.note(line)
        return run_trials(asked.suite, asked.trials, asked.plugins, options, shown)


def _print_summary(summary: Summary, format: o.Format, as_json: bool) -> None:
    from sparsebench.cli.report import append_step_summary
    from sparsebench.cli.results import result_rows

    rows = result_rows(summary.records)
    if as_json or format == "json":
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
        where = "" if summary.store == o.DEFAULT_STORE else f" --store {summary.store}"
        typer.echo(f"next: sparsebench report {summary.run}{where}", err=True)
    if rows:
        append_step_summary(f"### sparsebench run {summary.run}\n\n{as_markdown(rows)}\n")
