"""`sparsebench fit`: how one column grows with another."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsebench.cli import options as o


def command(
    run: o.RunName,
    store: o.Store,
    x: Annotated[str, typer.Option("--x", help="Column of sizes.")] = "connections",
    y: Annotated[str, typer.Option("--y", help="Column that grows.")] = "net_peak_bytes",
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Columns that make a group; repeatable. Default: backend."),
    ] = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Fit y = factor x^exponent over the trials of a run.

    The finished trials, by backend; one point per size, the mean over its seeds. 95 % intervals
    are empty with fewer than four sizes. Columns are those of `sparsebench export`.
    """
    from sparsebench.analysis.evidence import evidence
    from sparsebench.analysis.fits import fit_rows
    from sparsebench.cli.printing import print_rows
    from sparsebench.store.store import Store

    found = evidence([Store(store).run(run)])
    rows = list(fit_rows(found.ok, x, y, by or ["backend"]))
    if not rows and format != "json":
        typer.echo("no trial of this run finished", err=True)
    print_rows(rows, format)
