"""`sparsebench scaling`: the predicted speed of more workers than were measured."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebench import units
from sparsebench.cli import options as o
from sparsebench.errors import SparsebenchError

if TYPE_CHECKING:
    from sparsebench_parallel.scaling.report import ScalingOptions

MOST = 100_000
"""Largest number of workers or servers."""

Runs = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Run ids, run directories, or 'latest'.")
]


class ScalingError(SparsebenchError):
    """A number of workers, servers or cores, or a speed of the network, is not usable."""


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

    The costs of the model come from the trials with the fewest workers. Prints how well the model
    predicts the other measured trials, the predicted curve, the number of workers that saturates a
    server, and the effect of more servers. docs/parallel.md lists the assumptions.
    """
    from sparsebench.cli.output import print_json, print_rows
    from sparsebench.store.store import Store
    from sparsebench_parallel.scaling.measured_costs import ways
    from sparsebench_parallel.scaling.report import report

    options = parse_options(workers, servers, cores, latency, bandwidth)
    found = report(ways([one for run in runs for one in Store(store).run(run).records]), options)
    if format == "json":
        print_json(vars(found))
        return
    where = "a core for each process" if cores == "each" else f"{cores} cores for all"
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


def parse_options(
    workers: str, servers: str, cores: str, latency: str | None, bandwidth: str | None
) -> ScalingOptions:
    """The options as numbers. Raises ScalingError, which names the option."""
    from sparsebench_parallel.scaling.report import ScalingOptions

    return ScalingOptions(
        workers=counts(workers, "--workers"),
        servers=counts(servers, "--servers"),
        cores=None if cores == "each" else _count(cores, "--cores", "a number, or 'each'"),
        latency=None if latency is None else _latency(latency),
        bandwidth=None if bandwidth is None else _bandwidth(bandwidth),
    )


def counts(text: str, option: str) -> tuple[int, ...]:
    """Parse numbers such as 1,2,4,...,1000; returns them sorted and without repetition. The dots
    stand for repeated doubling of the number before them, up to the number after them."""
    found: list[int] = []
    doubling = False
    for word in (part.strip() for part in text.split(",")):
        if word in ("...", "…") and found and not doubling:
            doubling = True
            continue
        number = _count(word, option, "numbers such as 1,2,4,...,1000")
        while doubling and 2 * found[-1] < number:
            found.append(2 * found[-1])
        doubling = False
        found.append(number)
    if doubling:
        raise ScalingError(f"{option}: {text!r} ends with dots; expected a number behind them")
    return tuple(sorted(set(found)))


def _count(word: str, option: str, expected: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", word) or not 1 <= int(word) <= MOST:
        raise ScalingError(f"{option}: expected {expected}, from 1 to {MOST}, found {word!r}")
    return int(word)


def _latency(text: str) -> float:
    """Parse seconds. Micro- and nanoseconds are accepted only here."""
    short = re.fullmatch(r"\s*([0-9.]+)\s*(us|µs|ns)\s*", text)
    try:
        if short is not None:
            return float(short[1]) * (1e-9 if short[2] == "ns" else 1e-6)
        return units.seconds(text)
    except ValueError:
        raise ScalingError(
            f"--latency: expected a duration such as '50us', found {text!r}; "
            "known units: ns, us, ms, s"
        ) from None


def _bandwidth(text: str) -> float:
    """Parse bytes per second."""
    try:
        return float(units.size(text.strip().removesuffix("/s")))
    except ValueError:
        raise ScalingError(
            f"--bandwidth: expected bytes a second such as '1GB/s', found {text!r}; "
            f"known units: {', '.join(f'{unit}/s' for unit in units.BYTES)}"
        ) from None
