"""`sparsebench baseline`: what later runs are compared with, as a small file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_json, print_rows
from sparsebench.errors import SparsebenchError, StoreError, nearest

if TYPE_CHECKING:
    from sparsebench.store.store import Store

app = typer.Typer(
    help="Keep what later runs are compared with, as a small JSON that can be committed.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and ._-.")]
NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Baseline, or its file.")]


@app.command()
def set(
    words: Annotated[
        list[str], typer.Argument(metavar="[RUN] NAME", help="RUN: an id or a folder; else latest.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write; default: the store's own."),
    ] = None,
    store: o.Store = o.DEFAULT_STORE,
) -> None:
    """Make a baseline of RUN, in the place of one of that name. Then: sparsebench compare NAME
    latest."""
    if len(words) > 2:
        raise SparsebenchError(f"baseline set: expected [RUN] NAME, found {' '.join(words)!r}")
    run, name = words if len(words) == 2 else ("latest", words[0])
    from sparsebench.analysis.baseline import file_of, keep
    from sparsebench.store.store import Store

    shelf = Store(store)
    file = file_of(shelf, name)
    found = shelf.run(run)
    keep(found, name, output if output is not None else file)
    typer.echo(f"{output if output is not None else file}: {len(found.records)} trials of {run}")


@app.command()
def show(
    name: NameOrFile,
    store: o.Store = o.DEFAULT_STORE,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show what a baseline has: its run, and a row per cell. JSON: the file as it is."""
    from sparsebench.analysis.baseline import find, read
    from sparsebench.cli.results import result_rows
    from sparsebench.store.json_files import read_object
    from sparsebench.store.store import Store

    file = find(Store(store), name)
    found = read(file)
    if json or format == "json":
        print_json(read_object(file, "/"))
        return
    print_rows(result_rows(found.records), format)
    commit = f", commit {found.commit}" if found.commit else ""
    typer.echo(f"baseline {found.name} of run {found.run}, made {found.made}{commit}", err=True)


@app.command("list")
def list_(
    store: o.Store = o.DEFAULT_STORE, format: o.FormatOption = "text", json: o.Json = False
) -> None:
    """List the store's baselines."""
    from sparsebench.analysis.baseline import names
    from sparsebench.store.store import Store

    shelf = Store(store)
    found = names(shelf)
    if not found:
        typer.echo("no baseline yet; make one: sparsebench baseline set latest NAME", err=True)
    print_rows([_row(shelf, name) for name in found], format, json)


@app.command()
def rm(name: Name, store: o.Store = o.DEFAULT_STORE) -> None:
    """Remove a baseline of the store. Its run stays."""
    from sparsebench.analysis.baseline import file_of, names
    from sparsebench.store.store import Store

    shelf = Store(store)
    file = file_of(shelf, name)
    if not file.is_file():
        known = nearest(name, names(shelf))
        raise StoreError(f"no baseline {name!r} in {shelf.path}.{known}")
    try:
        file.unlink()
    except OSError as error:
        raise StoreError(f"cannot remove {file}: {error.strerror or error}") from None
    typer.echo(f"removed {file}")


def _row(shelf: Store, name: str) -> dict[str, Any]:
    """What can be said of it; one that cannot be read is listed with the reason."""
    from sparsebench.analysis.baseline import file_of, read

    try:
        found = read(file_of(shelf, name))
    except StoreError as error:
        return {"name": name, "suite": "", "trials": 0, "run": "", "problem": str(error)}
    told = {"name": name, "suite": found.suite, "trials": len(found.records), "run": found.run}
    return {**told, "problem": ""}
