"""`sparsebench baseline`: results of a run as a small file, to compare later runs with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.output import print_rows, result_table
from sparsebench.errors import SparsebenchError, StoreError, nearest
from sparsebench.store.store import Store

app = typer.Typer(help="Keep the results of a run, to compare later runs with.",
                  no_args_is_help=True)  # fmt: skip

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and ._-.")]
NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Baseline, or its file.")]


@app.command()
def set(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] NAME",
            help="A run's id or folder, by default the latest run; and the baseline's name.",
        ),
    ],
    store: o.Store,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="File to write, outside the store."),
    ] = None,
) -> None:
    """Save the results of a run as a baseline, to compare later runs with.

    The baseline is a file in the store, or with -o a file that you can commit. It replaces an older
    one of the same name. To compare the latest run with it: sparsebench compare NAME latest.
    """
    from sparsebench.analysis.baseline import file_of, keep

    if len(names) > 2:
        raise SparsebenchError(f"baseline set: expected [RUN] NAME, found {' '.join(names)!r}")
    run, name = ["latest", *names][-2:]
    results = Store(store)
    in_store = file_of(results, name)
    file = output if output is not None else in_store
    o.file_format(output, None, {"json": (".json",)}, "json")
    found = results.run(run)
    keep(found, name, file)
    typer.echo(f"{file}: {len(found.records)} trials of {found.id}")


@app.command()
def show(
    name: NameOrFile, store: o.Store, format: o.FormatOption = "text", json: o.Json = False
) -> None:
    """Show the run and the cells of a baseline. JSON: the file as it is."""
    from sparsebench.analysis.baseline import find, read
    from sparsebench.store.safe_files import read_object

    file = find(Store(store), name)
    found = read(file)
    print_rows(result_table(found.records), format, json=read_object(file, "/"))
    if format != "json":
        commit = f", commit {found.commit}" if found.commit else ""
        typer.echo(f"baseline {found.name} of run {found.run}, made {found.made}{commit}", err=True)
        if found.note:
            typer.echo(f"note: {found.note}", err=True)


@app.command("list")
def list_(store: o.Store, format: o.FormatOption = "text", json: o.Json = False) -> None:
    """List the store's baselines. One that cannot be read is listed with the reason."""
    from sparsebench.analysis import baseline

    results = Store(store)
    rows = []
    for name in baseline.names(results):
        row: dict[str, Any] = {"name": name, "suite": "", "trials": 0, "run": "", "problem": ""}
        try:
            found = baseline.read(baseline.file_of(results, name))
            row |= {"suite": found.suite, "trials": len(found.records), "run": found.run}
        except StoreError as error:
            row["problem"] = str(error)
        rows.append(row)
    if not rows:
        typer.echo("no baseline yet; make one: sparsebench baseline set latest NAME", err=True)
    print_rows(rows, format)


@app.command()
def rm(name: Name, store: o.Store) -> None:
    """Remove a baseline of the store. Its run is kept."""
    from sparsebench.analysis.baseline import file_of, names

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
