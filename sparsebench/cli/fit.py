"""`sparsebench fit`: how one column grows with another."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsebench.cli import options as o

By = Annotated[
    list[str] | None, typer.Option("--by", help="Columns that make a group; repeatable.")
]


def command(
    run: o.RunName,
    x: Annotated[str, typer.Option("--x", help="Column of sizes.")] = "connections",
    y: Annotated[str, typer.Option("--y", help="Column of what grows.")] = "net_peak_bytes",
    by: By = None,
    store: o.Store = o.DEFAULT_STORE,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Fit y = factor x^exponent over the trials of RUN that finished, by backend.

    One point per size, the mean over its seeds; 95 % intervals, empty with fewer than four
    sizes. Columns are those of `sparsebench export`.
    """
    from sparsebench.analysis.evidence import evidence
    from sparsebench.analysis.fits import fit_rows
    from sparsebench.cli.listing import print_rows
    from sparsebench.store.store import Store

    found = evidence([Store(store).run(run)])
    rows = list(fit_rows(found.ok, x, y, by or ["backend"]))
    if not rows and not (json or format == "json"):
        typer.echo("no trial of this run finished", err=True)
    print_rows(rows, format, json)
