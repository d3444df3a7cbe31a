"""`sparsebench data`: list, fetch, verify and inspect data sets."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sparsebench.cli import options as o
from sparsebench.cli.output import print_rows
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

app = typer.Typer(help="List, fetch, verify and inspect data sets.", no_args_is_help=True)


@app.command("list")
def list_(data: o.Data, format: o.FormatOption = "text", json: o.Json = False) -> None:
    """List the sets of the data directory and their states.

    A set is verified, present, missing or unusable.
    """
    listings = _listings(data)
    if not listings:
        typer.echo(_nothing(data), err=True)
    _print(states(listings), format)


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
    chosen = {find(data, name).name for name in names or ()}
    listings = [one for one in _listings(data) if not names or one.name in chosen]
    if not listings:
        raise NothingMatched(_nothing(data))
    checked = states(listings, check=True)
    _print(checked, format)
    bad = [found.detail for found in checked if found.state in ("corrupt", "unusable")]
    if bad:
        raise DataError(bad[0] + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""))


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
    _print([Checked(fetched, "verified")], format)


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A data file of your own.")],
    data: o.Data,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Its name, or position from 0; default: found.",
        ),
    ] = None,
    orientation: Annotated[
        Literal["samples-in-rows", "features-in-rows"],
        typer.Option(help="Whether a row is a sample, or a feature such as a gene."),
    ] = "samples-in-rows",
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Show how a file of your own is read, before anything runs.

    Shows samples, features, target, classes, missing values, constant features, storage, and
    features that may leak the target. The last line is the option --set with which a suite uses the
    file.
    """
    from sparsebench.core.data.inspection import described

    given = file_dataset(file, target, orientation)
    plugins = load_plugins(data_dir=data)
    filled = plugins.validate("dataset", {**given, "missing": "zero"}, "data inspect")
    found = described(plugins.build("dataset", filled).read())
    if found["missing"]:
        given["missing"] = "mean"
        found["notes"] = [note for note in found["notes"] if "filled with" not in note]
    table = ", ".join(f"{key} = {dumps(value)}" for key, value in given.items())
    found["set"] = f"--set 'dataset={{ {table} }}'"
    shown = {
        **found,
        "counts": ", ".join(f"{k}: {n}" for k, n in (found["counts"] or {}).items()),
        "constant": ", ".join(found["constant"][:10]),
    }
    rows = []
    for key, value in shown.items():
        for one in value if isinstance(value, list) else [value]:
            if one not in (None, ""):
                rows.append({"what": key.replace("_", " "), "found": one})
    print_rows(rows, format, json=found)


def file_dataset(file: str, target: str | None, orientation: str) -> dict[str, Any]:
    """The table of a suite for the data set in this file. A target that consists of digits is the
    position of a column, from 0, or from the end if negative."""
    given: dict[str, Any] = {"name": "file", "path": file}
    if target is not None:
        is_position = target.removeprefix("-").isdigit()
        given["target"] = int(target) if is_position else target
    if orientation != "samples-in-rows":
        given["orientation"] = orientation
    return given


def _listings(directory: Path) -> list[Listing]:
    """The data sets in data.json as suites see them: a set is unusable if a plugin has a data set
    of the same name."""
    known = load_plugins(data_dir=directory)["dataset"]
    return [
        (listing_of(known[listing.name].target) if listing.name in known else None) or listing
        for listing in read_manifest(directory)
    ]


def _nothing(directory: Path) -> str:
    return f"no data sets are listed in {directory / MANIFEST}"


def _print(checked: Sequence[Checked], format: str) -> None:
    rows = [found.to_json() for found in checked]
    print_rows([{key: row[key] for key in SHOWN} for row in rows], format, json=rows)
