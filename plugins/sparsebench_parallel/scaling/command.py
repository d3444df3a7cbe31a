"""`sparsebench scaling`: what more workers would give, and where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sparsebench.cli import options as o

if TYPE_CHECKING:
    from sparsebench_parallel.scaling.report import Report, ScalingOptions

Runs = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Run ids, run directories, or 'latest'.")
]


def command(
    runs: Runs,
    store: o.Store,
    workers: Annotated[
        str, typer.Option(help="Numbers to predict; '...' doubles up to the next one.")
    ] = "1,2,4,...,1000",
    cores: Annotated[
        str, typer.Option(metavar="N|each", help="Cores of all processes, or one for each.")
    ] = "each",
    latency: Annotated[
        str | None, typer.Option(help="Of a message: 50us. Default: as measured.")
    ] = None,
    bandwidth: Annotated[
        str | None, typer.Option(help="Of a link: 1GB/s. Default: as measured.")
    ] = None,
    servers: Annotated[str, typer.Option(help="Servers that share the parameters.")] = "1,4,16",
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Predict epochs with more workers than were measured.

    From the costs of one worker. First the model against the trials it was not made of, then the
    curve, then where a server has no pause left and what more servers would give. docs/parallel.md
    says what is assumed.
    """
    from sparsebench.store.store import Store
    from sparsebench_parallel.scaling.measured import ways
    from sparsebench_parallel.scaling.parse_options import parse_options
    from sparsebench_parallel.scaling.report import report

    given = parse_options(workers, servers, cores, latency, bandwidth)
    records = [record for run in runs for record in Store(store).run(run).records]
    _print(report(ways(records), given), given, format)


def _print(found: Report, given: ScalingOptions, format: str) -> None:
    from sparsebench.cli.printing import print_json, print_rows

    if format == "json":
        print_json({"validation": found.validation, "costs": found.costs,
                    "curve": found.curve, "words": found.words})  # fmt: skip
        return
    where = "a core for each process" if given.cores is None else f"{given.cores:g} cores for all"
    for title, rows in (
        ("The model against what was measured", found.validation),
        ("What it is made of", found.costs),
        (f"Predicted, with {where}", found.curve),
    ):
        typer.echo(f"### {title}\n" if format == "md" else title)
        print_rows(rows, format)
        typer.echo()
    for sentence in found.words:
        typer.echo(f"- {sentence}" if format == "md" else sentence)
