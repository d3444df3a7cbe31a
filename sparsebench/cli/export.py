"""`sparsebench export`: a run as a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o


def command(
    run: o.RunName,
    format: Annotated[
        str, typer.Option("--format", help="csv, json, parquet or pytest-benchmark.")
    ] = "csv",
    epochs: Annotated[
        bool, typer.Option("--epochs", help="A row per epoch instead of one per trial.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; default: stdout.")
    ] = None,
    store: o.Store = o.DEFAULT_STORE,
) -> None:
    """Write one row per trial of RUN, failed ones included; for pytest-benchmark, one benchmark
    per cell."""
    from sparsebench.errors import SparsebenchError
    from sparsebench.records.export import export, write
    from sparsebench.records.frames import epochs_frame, run_frame
    from sparsebench.records.store import Store

    found = Store(store).run(run)
    if format == "pytest-benchmark":
        from sparsebench.records.benchmarks import to_benchmarks

        if epochs:
            raise SparsebenchError("--epochs: a benchmark is a cell; leave it out, or take csv")
        write(to_benchmarks(found), output)
        return
    export(epochs_frame(found) if epochs else run_frame(found), format, output)
