"""`sparsebench check`: do the claims of a suite hold in a run of it?"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from sparsebench.cli import options as o


def command(
    run: o.RunName,
    format: Annotated[Literal["table", "md", "json"], typer.Option(help="How to print.")] = "table",
    store: o.Store = o.DEFAULT_STORE,
    json: o.Json = False,
) -> None:
    """Judge the claims of RUN's suite: each holds, fails, cannot be told, or was not run.

    Exit codes: 0 none fails, and one holds at least; 4 a claim fails; 5 the suite makes no
    claims; 6 nothing could be decided; 2 usage.
    """
    from sparsebench.analysis.claims import check, exit_code
    from sparsebench.cli.listing import print_json
    from sparsebench.cli.report import append_step_summary
    from sparsebench.errors import NothingMatched
    from sparsebench.report.claims import as_markdown, as_text, to_json
    from sparsebench.store.store import Store

    found = Store(store).run(run)
    rows = check(found)
    if json or format == "json":
        print_json(to_json(found.id, rows))
        raise typer.Exit(exit_code(rows))
    if not rows:
        raise NothingMatched(f"the suite of run {found.id} makes no claims: nothing to check")
    typer.echo(as_markdown(rows) if format == "md" else as_text(rows), nl=format != "md")
    append_step_summary(as_markdown(rows))
    raise typer.Exit(exit_code(rows))
