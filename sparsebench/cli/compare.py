"""`sparsebench compare`: did anything get worse from one run to another?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.errors import GateError

if TYPE_CHECKING:
    from sparsebench.analysis.comparison import Comparison
    from sparsebench.analysis.gates import Gates
    from sparsebench.metrics import Metrics

SIDE = "Run id, run or store directory, 'latest', or a baseline: name or file."


def command(
    base: Annotated[str, typer.Argument(metavar="BASE", help=SIDE)],
    head: Annotated[str, typer.Argument(metavar="HEAD", help=SIDE)],
    store: o.Store,
    gates: o.GateFile = None,
    fail_if: o.FailIf = None,
    min_seeds: o.MinSeeds = None,
    alpha: o.Alpha = None,
    time_gate: Annotated[
        bool,
        typer.Option("--time-gate", help="Times fail too; for a machine with nothing else on it."),
    ] = False,
    strict: o.Strict = False,
    format: o.ComparisonFormatOption = "table",
    json: o.Json = False,
) -> None:
    """Compare HEAD with BASE, cell by cell.

    Each metric is judged worse, better, the same, or inconclusive.

    Exit codes: 0 no gate failed; 2 usage; 3 a gate failed; 5 no cell in common; 6 nothing could
    be decided, or with --strict not everything.
    """
    from sparsebench.analysis.comparison import compare
    from sparsebench.analysis.gates import default_gates
    from sparsebench.analysis.resolve import side_named
    from sparsebench.analysis.rounds import (
        compare_rounds,
        folder_of_halves,
        gates_of_rounds,
        sides_of,
    )
    from sparsebench.store.store import Store

    rounds = folder_of_halves(Path(base), Path(head))
    defaults = default_gates() if rounds is None else gates_of_rounds()
    results = Store(store)
    sides = sides_of(rounds) if rounds else (side_named(results, base), side_named(results, head))
    chosen = resolve_gates(
        gates, fail_if, min_seeds, alpha, strict, defaults, time_gate,
        sides[0].metrics | sides[1].metrics,
    )  # fmt: skip
    found = compare(*sides, chosen) if rounds is None else compare_rounds(*sides, chosen)
    print_comparison(found, format)
    raise typer.Exit(found.exit_code)


def resolve_gates(
    file: Path | None,
    fail_if: Sequence[str] | None,
    min_seeds: int | None,
    alpha: float | None,
    strict: bool,
    defaults: Gates,
    time_gate: bool = False,
    metrics: Metrics | None = None,
) -> Gates:
    """The command line's gates over the file's over the defaults."""
    from sparsebench.analysis import resolve

    try:
        return resolve.resolve_gates(
            file, fail_if or (), min_seeds, alpha, strict, defaults, time_gate, metrics
        )
    except GateError as error:
        prefix = "--" if str(error).startswith("alpha:") else ""
        raise GateError(f"{prefix}{error}") from None


def print_comparison(found: Comparison, format: str) -> None:
    """Print the result, also on the summary page of a GitHub workflow."""
    from sparsebench.cli.printing import append_step_summary, print_json
    from sparsebench.report.comparison import as_markdown, as_text, to_json

    page = as_markdown(found)
    if format == "json":
        print_json(to_json(found))
    elif format == "junit":
        from sparsebench.report.junit import as_junit

        typer.echo(as_junit(found), nl=False)
    else:
        typer.echo(page if format == "md" else as_text(found), nl=format != "md")
    append_step_summary(page)
