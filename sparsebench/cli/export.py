"""`sparsebench export`: a run as a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o


def command(
    run: o.RunName,
    format: Annotated[str, typer.Option("--format", help="csv, json or parquet.")] = "csv",
    epochs: Annotated[
        bool, typer.Option("--epochs", help="A row per epoch instead of one per trial.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; default: stdout.")
    ] = None,
    store: o.Store = o.DEFAULT_STORE,
) -> None:
    """Write one row per trial of RUN, failed ones included."""
    from sparsebench.records.export import export
    from sparsebench.records.frames import epochs_frame, run_frame
    from sparsebench.records.store import Store

    found = Store(store).run(run)
    export(epochs_frame(found) if epochs else run_frame(found), format, output)
