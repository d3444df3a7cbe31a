"""`sparsebench data`: what the data directory has, and how more gets there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sparsebench import catalogue
from sparsebench.cli import options as o
from sparsebench.cli.listing import print_rows
from sparsebench.errors import DataError, NothingMatched
from sparsebench.machine import data_directory

SHOWN = ("name", "state", "samples", "features", "classes", "detail")
"""Columns of the text and markdown tables; JSON has more."""

app = typer.Typer(help="List, fetch and verify data sets.", no_args_is_help=True)


@app.command("list")
def list_(data: o.Data = None, format: o.FormatOption = "text", json: o.Json = False) -> None:
    """List the sets of the data directory: verified, present, missing or unusable."""
    directory = _directory(data)
    checked = catalogue.states(directory)
    if not checked:
        typer.echo(_nothing(directory), err=True)
    _show(checked, format, json)


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all.")
    ] = None,
    data: o.Data = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Hash the files again and compare with data.json."""
    directory = _directory(data)
    checked = catalogue.verify(directory, names or ())
    if not checked:
        raise NothingMatched(_nothing(directory))
    _show(checked, format, json)
    bad = [found for found in checked if found.state in ("corrupt", "unusable")]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise DataError(f"{bad[0].detail}{more}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What suites will call it.")],
    openml: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name on OpenML, if another.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Its version on OpenML; default: the active one.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The label column; default: OpenML's.")
    ] = None,
    data: o.Data = None,
    json: o.Json = False,
) -> None:
    """Get a data set from OpenML into the data directory."""
    listing = catalogue.fetch(
        name, openml=openml, version=version, target=target, data_dir=_directory(data)
    )
    _show([catalogue.Checked(listing, "verified")], "text", json)


def _directory(given: Path | None) -> Path:
    return given.expanduser().resolve() if given is not None else data_directory()


def _nothing(directory: Path) -> str:
    return f"no data sets are listed in {directory / catalogue.MANIFEST}"


def _show(checked: Sequence[catalogue.Checked], format: o.Format, json: bool) -> None:
    rows = [found.to_json() for found in checked]
    if not json and format != "json":
        rows = [{key: row[key] for key in SHOWN} for row in rows]
    print_rows(rows, format, json)
