"""`sparsebench prepare`: checks the data of a suite and compiles its kernels ahead of a run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_rows
from sparsebench.core.trial import Trial, canonical
from sparsebench.errors import NothingMatched
from sparsebench.run.request import RunRequest, resolve
from sparsebench.run.reuse import absent

POLL_SECONDS = 0.05


@o.with_options(o.selection)
def command(options: dict[str, Any], format: o.FormatOption = "text", json: o.Json = False) -> None:
    """Check the data of SUITE and compile its kernels."""
    request = resolve(**options)
    data = {canonical(trial.dataset): trial for trial in request.trials}
    rows = [
        {
            "what": f"data {trial.dataset['name']}",
            "state": "missing" if "missing" in trial.data else "ok",
            "detail": trial.data.get("missing", ""),
        }
        for trial in data.values()
    ]
    runnable = [trial for trial in request.trials if absent(trial, request.plugins) is None]
    print_rows([*rows, *_compile(request, runnable)], format)
    if not runnable:
        raise NothingMatched(f"{request.suite.name}: none of its trials can be run here")


def _compile(request: RunRequest, trials: list[Trial]) -> list[dict[str, Any]]:
    """Compile each kind of kernel in a process of its own, as a run does before its trials."""
    from sparsebench.core.job import Job
    from sparsebench.run.kernel_cache import compile_job, compiled_code, representatives
    from sparsebench.suite.defaults import EXECUTOR

    rows: list[dict[str, Any]] = []
    executor = request.plugins.build("executor", {"name": EXECUTOR, "slots": 1})
    try:
        for trial in representatives(trials, request.plugins):
            typer.echo(f"compiling for {trial.backend['name']}", err=True)
            with tempfile.TemporaryDirectory() as folder:
                job = Job(
                    trial=trial,
                    folder=Path(folder),
                    data_dir=request.options.data_dir,
                    plugin_files=request.plugins.files,
                    numba_cache=compiled_code(trial, request.plugins),
                )
                outcome = _wait(executor.submit(compile_job(job)))
            detail = f"{outcome.get('cause', '')} {outcome.get('detail', '')}".strip()
            state = str(outcome["status"])
            what = f"kernels {trial.backend['name']}"
            rows.append({"what": what, "state": state, "detail": detail})
    finally:
        executor.close()
    return rows


def _wait(handle: Any) -> Any:
    try:
        while (outcome := handle.poll()) is None:
            time.sleep(POLL_SECONDS)
    except BaseException:
        handle.stop(kill=True)
        raise
    return outcome
