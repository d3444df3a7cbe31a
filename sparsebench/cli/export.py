"""`sparsebench export`, `export-model`: runs and networks as files for other programs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o


def command(
    run: o.RunName,
    store: o.Store,
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
    output: o.Output = None,
) -> None:
    """Write one row per trial of RUN, including the failed ones.

    The formats of other tools have one entry per cell, with what each tool reads.
    """
    from sparsebench.errors import SparsebenchError
    from sparsebench.metrics import of_run
    from sparsebench.store.export import OF_RUNS, export, write
    from sparsebench.store.frames import epochs_frame, run_frame
    from sparsebench.store.store import Store

    found = Store(store).run(run)
    if format not in OF_RUNS:
        frame = epochs_frame(found) if epochs else run_frame(found)
        export(frame, format, output, of_run(found.manifest))
        return
    if epochs:
        raise SparsebenchError(f"--epochs: {format} has an entry per cell; take csv or json")
    if format == "pytest-benchmark":
        from sparsebench.store.benchmarks import to_benchmarks

        write(to_benchmarks(found), output)
    else:
        from sparsebench.store import benchmarks

        write(
            benchmarks.to_bencher(found)
            if format == "bencher"
            else benchmarks.to_github_action_benchmark(
                found, "bigger" if format.endswith("-bigger") else "smaller"
            ),
            output,
        )


def export_model(
    trial: o.TrialId,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="npz to write.")],
    store: o.Store,
    json: o.Json = False,
) -> None:
    """Write the trained network of a trial as csr arrays.

    The npz has W1.data, W1.indices, W1.indptr, b1, and so on.
    """
    from sparsebench.cli.printing import print_json
    from sparsebench.store.kept import model_of
    from sparsebench.store.output import output_file
    from sparsebench.store.store import Store
    from sparsebench.suite.labels import label

    record, file = model_of(Store(store), trial)
    with file.open("rb") as source, output_file(output) as target:
        shutil.copyfileobj(source, target)
    if json:
        size = file.stat().st_size
        print_json({"trial": record.trial.id, "attempt": record.attempt, "file": str(output),
                    "bytes": size})  # fmt: skip
    else:
        typer.echo(f"{output}: {label(record.trial)}, attempt {record.attempt}")
