"""`sparsebench baseline`: what later runs are compared with, as a small file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_json, print_rows
from sparsebench.errors import SparsebenchError, StoreError, nearest

if TYPE_CHECKING:
    from sparsebench.store.store import Store

app = typer.Typer(
    help="Keep the results of a run, to compare later runs with.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and ._-.")]
NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Baseline, or its file.")]


@app.command()
def set(
    names: Annotated[
        list[str], typer.Argument(metavar="[RUN] NAME", help="RUN: an id or a folder; else latest.")
    ],
    store: o.Store,
    output: o.Output = None,
) -> None:
    """Make a baseline of a run, or replace the one of that name.

    It lies in the store, or with -o in a file. Then: sparsebench compare NAME latest.
    """
    if len(names) > 2:
        raise SparsebenchError(f"baseline set: expected [RUN] NAME, found {' '.join(names)!r}")
    run, name = names if len(names) == 2 else ("latest", names[0])
    from sparsebench.analysis.baseline import file_of, keep
    from sparsebench.store.store import Store

    results = Store(store)
    in_store = file_of(results, name)
    file = output if output is not None else in_store
    found = results.run(run)
    keep(found, name, file)
    typer.echo(f"{file}: {len(found.records)} trials of {run}")


@app.command()
def show(
    name: NameOrFile, store: o.Store, format: o.FormatOption = "text", json: o.Json = False
) -> None:
    """Show the run and the cells of a baseline. JSON: the file as it is."""
    from sparsebench.analysis.baseline import find, read
    from sparsebench.cli.results import result_rows
    from sparsebench.store.json_files import read_object
    from sparsebench.store.store import Store

    file = find(Store(store), name)
    found = read(file)
    if format == "json":
        print_json(read_object(file, "/"))
        return
    print_rows(result_rows(found.records), format)
    commit = f", commit {found.commit}" if found.commit else ""
    typer.echo(f"baseline {found.name} of run {found.run}, made {found.made}{commit}", err=True)


@app.command("list")
def list_(store: o.Store, format: o.FormatOption = "text", json: o.Json = False) -> None:
    """List the store's baselines."""
    from sparsebench.analysis.baseline import names
    from sparsebench.store.store import Store

    results = Store(store)
    found = names(results)
    if not found:
        typer.echo("no baseline yet; make one: sparsebench baseline set latest NAME", err=True)
    print_rows([_row(results, name) for name in found], format)


@app.command()
def rm(name: Name, store: o.Store) -> None:
    """Remove a baseline of the store. Its run stays."""
    from sparsebench.analysis.baseline import file_of, names
    from sparsebench.store.store import Store

    results = Store(store)
    file = file_of(results, name)
    try:
        file.unlink()
    except FileNotFoundError:
        known = nearest(name, names(results))
        raise StoreError(f"no baseline {name!r} in {results.path}.{known}") from None
    except OSError as error:
        raise StoreError(f"cannot remove {file}: {error.strerror or error}") from None
    typer.echo(f"removed {file}")


def _row(store: Store, name: str) -> dict[str, Any]:
    """A baseline that cannot be read is listed with the reason."""
    from sparsebench.analysis.baseline import file_of, read

    row: dict[str, Any] = {"name": name, "suite": "", "trials": 0, "run": "", "problem": ""}
    try:
        found = read(file_of(store, name))
    except StoreError as error:
        return row | {"problem": str(error)}
    return row | {"suite": found.suite, "trials": len(found.records), "run": found.run}
