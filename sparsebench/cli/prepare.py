"""`sparsebench prepare`: everything a run would wait for: data and compiled kernels."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.asked import Asked, ask
from sparsebench.cli.listing import print_rows
from sparsebench.core.trial import Trial, canonical
from sparsebench.errors import NothingMatched
from sparsebench.run.reuse import absent

POLL_SECONDS = 0.05


def command(
    suite: o.SuiteName,
    set: o.Set = None,
    seeds: o.Seeds = None,
    quick: o.Quick = False,
    select: o.Select = None,
    data: o.Data = None,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Check that the data of SUITE is there, and compile its kernels."""
    asked = ask(
        suite,
        sets=set,
        seeds=seeds,
        quick=quick,
        expression=select,
        data=data,
        plugin_files=plugin,
        allow_plugins=allow_plugins,
    )
    runnable = [trial for trial in asked.trials if absent(trial, asked.plugins) is None]
    print_rows([*_data_rows(asked), *_compiled(asked, runnable)], format, json)
    if not runnable:
        raise NothingMatched(f"{asked.suite.name}: none of its trials can be run here")


def _data_rows(asked: Asked) -> list[dict[str, Any]]:
    found = {canonical(trial.dataset): trial for trial in asked.trials}
    return [
        {
            "what": f"data {trial.dataset['name']}",
            "state": "missing" if "missing" in trial.data else "ok",
            "detail": trial.data.get("missing", ""),
        }
        for trial in found.values()
    ]


def _compiled(asked: Asked, trials: list[Trial]) -> list[dict[str, Any]]:
    """Each kind of kernel compiled in a process of its own, as a run does before its trials."""
    from sparsebench.core.job import Job
    from sparsebench.run.kernel_cache import compile_job, compiled_code, representatives
    from sparsebench.suite.defaults import EXECUTOR

    chosen = representatives(trials, asked.plugins)
    if not chosen:
        return []
    rows = []
    executor = asked.plugins.build("executor", {"name": EXECUTOR, "slots": 1})
    try:
        for trial in chosen:
            typer.echo(f"compiling for {trial.backend['name']}", err=True)
            with tempfile.TemporaryDirectory() as folder:
                job = Job(
                    trial=trial,
                    folder=Path(folder),
                    data_dir=asked.data_dir,
                    plugin_files=asked.plugins.files,
                    numba_cache=compiled_code(trial, asked.plugins),
                )
                rows.append(_await(executor, compile_job(job)))
    finally:
        executor.close()
    return rows


def _await(executor: Any, job: Any) -> dict[str, Any]:
    handle = executor.submit(job)
    try:
        while (outcome := handle.poll()) is None:
            time.sleep(POLL_SECONDS)
    except BaseException:
        handle.stop(kill=True)
        raise
    detail = f"{outcome.get('cause', '')} {outcome.get('detail', '')}".strip()
    return {
        "what": f"kernels {job.trial.backend['name']}",
        "state": str(outcome["status"]),
        "detail": detail,
    }
