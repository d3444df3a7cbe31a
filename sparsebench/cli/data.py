"""`sparsebench data`: what the data directory has, and how more gets there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_rows
from sparsebench.core.data.catalogue import (
    MANIFEST,
    Checked,
    Listing,
    find,
    listing_of,
    read_manifest,
    states,
)
from sparsebench.discovery import load_plugins
from sparsebench.errors import DataError, NothingMatched
from sparsebench.machine import data_directory

SHOWN = ("name", "state", "samples", "features", "classes", "detail")
"""Columns of the text and markdown tables; JSON has more."""

app = typer.Typer(help="List, fetch and verify data sets.", no_args_is_help=True)


@app.command("list")
def list_(data: o.Data = None, format: o.FormatOption = "text", json: o.Json = False) -> None:
    """List the sets of the data directory: verified, present, missing or unusable."""
    directory = data_directory(data)
    checked = states(_listings(directory))
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
    directory = data_directory(data)
    listings = {listing.name: listing for listing in _listings(directory)}
    chosen = [find(directory, name).name for name in names] if names else list(listings)
    checked = states([listings[name] for name in chosen], check=True)
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
    train: Annotated[
        int | None,
        typer.Option(metavar="ROWS", min=1, help="So many first rows train; default: no split."),
    ] = None,
    data: o.Data = None,
    json: o.Json = False,
) -> None:
    """Get a data set from OpenML into the data directory."""
    from sparsebench.run.fetch import fetch as fetch_set

    directory = data_directory(data)
    _refuse_taken(name, directory)
    listing = fetch_set(
        name, openml=openml, version=version, target=target, train=train, data_dir=directory
    )
    _show([Checked(listing, "verified")], "text", json)


def _listings(directory: Path) -> list[Listing]:
    """What data.json lists, as suites see it: unusable where a plugin has that name too."""
    known = load_plugins(data_dir=directory)["dataset"]
    return [
        (listing_of(known[listing.name].target) if listing.name in known else None) or listing
        for listing in read_manifest(directory)
    ]


def _refuse_taken(name: str, directory: Path) -> None:
    """DataError for the name of a data set that is not the data directory's."""
    known = load_plugins(data_dir=directory)["dataset"]
    if name not in known:
        return
    listing = listing_of(known[name].target)
    if listing is None:
        raise DataError(
            f"{name!r} is a data set of {known[name].owner}, to be used as it is; "
            "choose another name to fetch one from OpenML"
        )
    if listing.problem is not None:
        raise DataError(listing.problem)


def _nothing(directory: Path) -> str:
    return f"no data sets are listed in {directory / MANIFEST}"


def _show(checked: Sequence[Checked], format: o.Format, json: bool) -> None:
    rows = [found.to_json() for found in checked]
    if not json and format != "json":
        rows = [{key: row[key] for key in SHOWN} for row in rows]
    print_rows(rows, format, json)
