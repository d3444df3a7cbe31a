"""`sparsebench export`: a run as a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebench.cli import options as o

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun


def command(
    run: o.RunName,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv, json or parquet; or for another tool: pytest-benchmark, bencher, "
            "github-action-benchmark (smaller is better) or github-action-benchmark-bigger.",
        ),
    ] = "csv",
    epochs: Annotated[
        bool, typer.Option("--epochs", help="A row per epoch instead of one per trial.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; default: stdout.")
    ] = None,
    store: o.Store = o.DEFAULT_STORE,
) -> None:
    """Write one row per trial of RUN, failed ones included; for the formats of other tools, which
    csv, json and parquet are not, what they ask of each cell."""
    from sparsebench.errors import SparsebenchError
    from sparsebench.metrics import of_run
    from sparsebench.store.export import OF_RUNS, export, write
    from sparsebench.store.frames import epochs_frame, run_frame
    from sparsebench.store.store import Store

    found = Store(store).run(run)
    if format in OF_RUNS:
        if epochs:
            raise SparsebenchError("--epochs: a benchmark is a cell; leave it out, or take csv")
        write(_for_others(found, format), output)
        return
    frame = epochs_frame(found) if epochs else run_frame(found)
    export(frame, format, output, of_run(found.manifest))


def _for_others(run: StoredRun, format: str) -> bytes:
    from sparsebench.store.benchmarks import to_bencher, to_github_action_benchmark

    if format == "pytest-benchmark":
        from sparsebench.store.benchmarks import to_benchmarks

        return to_benchmarks(run)
    if format == "bencher":
        return to_bencher(run)
    return to_github_action_benchmark(run, "bigger" if format.endswith("-bigger") else "smaller")
