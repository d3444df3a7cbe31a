"""`sparsebench export-model`: the trained network of a trial, as plain csr arrays in an npz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_json
from sparsebench.core.files import replacing
from sparsebench.errors import SparsebenchError
from sparsebench.store.kept import model_of
from sparsebench.store.store import Store
from sparsebench.suite.labels import label

PIECE = 2**20


def command(
    trial: o.TrialId,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write (npz).")],
    store: o.Store = o.DEFAULT_STORE,
    json: o.Json = False,
) -> None:
    """Write the trained network of TRIAL as csr arrays: W1.data, W1.indices, W1.indptr, b1, ..."""
    record, file = model_of(Store(store), trial)
    _copy(file, output)
    if json:
        told = {"trial": record.trial.id, "attempt": record.attempt, "file": str(output)}
        print_json({**told, "bytes": output.stat().st_size})
    else:
        typer.echo(f"{output}: {label(record.trial)}, attempt {record.attempt}")


def _copy(source: Path, target: Path) -> None:
    """In one step: the old file or the new one, whatever happens."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as whole, replacing(target) as stream:
            while piece := whole.read(PIECE):
                stream.write(piece)
    except OSError as error:
        raise SparsebenchError(f"cannot write {target}: {error.strerror or error}") from error
