"""`sparsebench check`: do the claims of a suite hold in a run of it?"""

from __future__ import annotations

import typer

from sparsebench.cli import options as o


def command(
    run: o.RunName,
    store: o.Store,
    format: o.TableFormatOption = "table",
    json: o.Json = False,
) -> None:
    """Judge the claims of a run's suite.

    Each claim holds, fails, is inconclusive, or was not run.

    Exit codes: 0 none fails, and at least one holds; 2 usage; 4 a claim fails; 5 the suite makes
    no claims; 6 nothing could be decided.
    """
    from sparsebench.analysis.claims import check, exit_code
    from sparsebench.cli.printing import append_step_summary, print_json
    from sparsebench.errors import NothingMatched
    from sparsebench.report.claims import as_markdown, as_text, to_json
    from sparsebench.store.store import Store

    found = Store(store).run(run)
    rows = check(found)
    if format == "json":
        print_json(to_json(found.id, rows))
    elif not rows:
        raise NothingMatched(f"the suite of run {found.id} makes no claims: nothing to check")
    else:
        typer.echo(as_markdown(rows) if format == "md" else as_text(rows), nl=format != "md")
        append_step_summary(as_markdown(rows))
    raise typer.Exit(exit_code(rows))
