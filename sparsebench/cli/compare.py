"""`sparsebench compare`: did anything get worse from one run to another?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sparsebench.cli import options as o
from sparsebench.errors import GateError

if TYPE_CHECKING:
    from sparsebench.analysis.comparison import Comparison
    from sparsebench.analysis.gates import Gates
    from sparsebench.metrics import Metrics

Format = Literal["table", "md", "json", "junit"]
RunOrFolder = "Run id, run or store directory, 'latest', or a baseline: name or file."


def command(
    base: Annotated[str, typer.Argument(metavar="BASE", help=RunOrFolder)],
    head: Annotated[str, typer.Argument(metavar="HEAD", help=RunOrFolder)],
    gates: Annotated[
        Path | None, typer.Option("--gates", metavar="FILE", help="Gates, as TOML.")
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="METRIC:AMOUNT",
            help="A gate, such as 'net_peak_bytes:+5%,2MiB'; repeatable.",
        ),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = "table",
    min_seeds: Annotated[
        int | None, typer.Option(min=2, help="Fewer seeds decide nothing that varies. Default: 5.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="False alarms, per metric, over its cells. Default: 0.05.")
    ] = None,
    time_gate: Annotated[
        bool, typer.Option("--time-gate", help="Slower fails, too: for a quiet machine of its own.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="What cannot be decided ends in exit code 6.")
    ] = False,
    store: o.Store = o.DEFAULT_STORE,
    json: o.Json = False,
) -> None:
    """Compare HEAD with BASE, cell by cell: what got worse, better, or cannot be told.

    Exit codes: 0 no gate failed; 3 a gate failed; 5 no cell in common; 6 nothing could be
    decided, or with --strict not everything; 2 usage.
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
    shelf = Store(store)
    sides = sides_of(rounds) if rounds else (side_named(shelf, base), side_named(shelf, head))
    metrics = sides[0].metrics | sides[1].metrics
    asked = asked_gates(
        gates, fail_if or [], min_seeds, alpha, strict, defaults, time_gate, metrics
    )
    found = compare(*sides, asked) if rounds is None else compare_rounds(*sides, asked)
    print_comparison(found, "json" if json else format)
    raise typer.Exit(found.exit_code)


def asked_gates(
    file: Path | None,
    given: list[str],
    min_seeds: int | None,
    alpha: float | None,
    strict: bool,
    defaults: Gates,
    time_gate: bool = False,
    metrics: Metrics | None = None,
) -> Gates:
    """The command line over the file over the defaults."""
    from sparsebench.analysis.gates_file import check_alpha
    from sparsebench.analysis.resolve import resolve_gates

    if alpha is not None:
        try:
            check_alpha(alpha)
        except GateError as error:
            raise GateError(f"--{error}") from None
    return resolve_gates(file, given, min_seeds, alpha, strict, defaults, time_gate, metrics)


def print_comparison(found: Comparison, format: str) -> None:
    """The result on stdout; on a page of GitHub, too, if there is one."""
    from sparsebench.cli.listing import print_json
    from sparsebench.cli.report import append_step_summary
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
