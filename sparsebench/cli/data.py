"""`sparsebench data`: what the data directory has, and how more gets there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_rows
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

SHOWN = ("name", "state", "samples", "features", "classes", "detail")
"""Columns of the text and markdown tables; JSON has more."""

app = typer.Typer(help="List, fetch and verify data sets.", no_args_is_help=True)


@app.command("list")
def list_(data: o.Data, format: o.FormatOption = "text", json: o.Json = False) -> None:
    """List the sets of the data directory and their states.

    A set is verified, present, missing or unusable.
    """
    checked = states(_listings(data))
    if not checked:
        typer.echo(_nothing(data), err=True)
    _show(checked, format)


@app.command()
def verify(
    data: o.Data,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all.")
    ] = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Hash the files again and compare with data.json."""
    listings = {listing.name: listing for listing in _listings(data)}
    chosen = [find(data, name).name for name in names] if names else list(listings)
    checked = states([listings[name] for name in chosen], check=True)
    if not checked:
        raise NothingMatched(_nothing(data))
    _show(checked, format)
    bad = [found for found in checked if found.state in ("corrupt", "unusable")]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise DataError(f"{bad[0].detail}{more}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in suites.")],
    data: o.Data,
    openml: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name on OpenML, if it differs.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Its version on OpenML; default: the active one.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The label column; default: OpenML's.")
    ] = None,
    train: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS", min=1, help="The first ROWS rows train; default: no fixed split."
        ),
    ] = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Get a data set from OpenML into the data directory."""
    from sparsebench.run.fetch import fetch as fetch_set

    known = load_plugins(data_dir=data)["dataset"]
    if name in known:
        listing = listing_of(known[name].target)
        if listing is None:
            raise DataError(
                f"{name!r} is a data set of {known[name].owner}, to be used as it is; "
                "choose another name to fetch one from OpenML"
            )
        if listing.problem is not None:
            raise DataError(listing.problem)
    fetched = fetch_set(
        name, openml=openml, version=version, target=target, train=train, data_dir=data
    )
    _show([Checked(fetched, "verified")], format)


def _listings(directory: Path) -> list[Listing]:
    """The sets that data.json lists, as suites see them: unusable if a plugin has the same name."""
    known = load_plugins(data_dir=directory)["dataset"]
    return [
        (listing_of(known[listing.name].target) if listing.name in known else None) or listing
        for listing in read_manifest(directory)
    ]


def _nothing(directory: Path) -> str:
    return f"no data sets are listed in {directory / MANIFEST}"


def _show(checked: Sequence[Checked], format: str) -> None:
    rows = [found.to_json() for found in checked]
    if format != "json":
        rows = [{key: row[key] for key in SHOWN} for row in rows]
    print_rows(rows, format)
