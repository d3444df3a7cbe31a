"""`sparsebench ab`: two installations in turn, trial by trial, and what differs between them."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.cli.compare import Format, asked_gates, print_comparison
from sparsebench.errors import printable

if TYPE_CHECKING:
    from sparsebench.run.ab.turns import Ended, Turn

Env = "Folder of a virtual environment, git:REV, or . for this installation."


def command(
    base: Annotated[str, typer.Argument(metavar="BASE_ENV", help=Env)],
    head: Annotated[str, typer.Argument(metavar="HEAD_ENV", help=Env)],
    suite: o.SuiteName,
    set: o.Set = None,
    seeds: o.Seeds = None,
    quick: o.Quick = False,
    select: o.Select = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Times that each trial runs on both sides.")
    ] = 3,
    gates: Annotated[
        Path | None, typer.Option("--gates", metavar="FILE", help="Gates, as TOML.")
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="METRIC:AMOUNT",
            help="A gate, such as 'epoch_seconds:+15%'; repeatable.",
        ),
    ] = None,
    min_seeds: Annotated[
        int | None,
        typer.Option(min=2, help="Fewer seeds, or pairs, decide nothing that varies. Default: 5."),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="False alarms, per metric, over its cells. Default: 0.05.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="What cannot be decided ends in exit code 6.")
    ] = False,
    data: o.Data = None,
    threads: o.Threads = None,
    timeout: o.Timeout = None,
    memory_limit: o.MemoryLimit = None,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    store: o.Store = o.DEFAULT_STORE,
    format: Annotated[Format, typer.Option(help="How to print.")] = "table",
    json: o.Json = False,
) -> None:
    """Run SUITE on two installations in turn, trial by trial, and compare them pair by pair.

    A machine that gets slower meets both sides, so times can fail here. Exit codes: as compare;
    130 and 143 stopped, finished pairs are kept and can be compared.
    """
    from sparsebench.analysis.rounds import compare_rounds, gates_of_rounds, sides_of
    from sparsebench.discovery import load_plugins

    metrics, defaults = load_plugins(plugin or []).metrics, gates_of_rounds()
    asked = asked_gates(gates, fail_if or [], min_seeds, alpha, strict, defaults, metrics=metrics)
    both = _words(
        {"--data": data and data.absolute(), "--threads": threads, "--timeout": timeout,
         "--memory-limit": memory_limit},
        {"--set": set, "--plugin": plugin},
        {"--quick": quick, "--allow-plugins": allow_plugins},
    )  # fmt: skip
    which = _words({"--seeds": seeds, "-k": select}, {}, {})
    folder = store / "ab" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    ended = _run(base, head, suite, both, which, rounds, folder)
    again = f"sparsebench compare {folder / 'base'} {folder / 'head'}"
    if ended.stopped is not None:
        told = f"stopped after {ended.pairs} of {ended.planned} pairs"
        typer.echo(f"{told}; compare them: {again}" if ended.pairs else told, err=True)
        raise typer.Exit(ended.stopped)
    found = compare_rounds(*sides_of(folder), asked)
    print_comparison(found, "json" if json else format)
    typer.echo(f"kept; again, in another format: {again}", err=True)
    raise typer.Exit(found.exit_code)


def _run(
    base: str, head: str, suite: str, both: list[str], which: list[str], rounds: int, folder: Path
) -> Ended:
    from sparsebench.run.ab.installations import installation
    from sparsebench.run.ab.turns import in_common, plan, take_turns

    with ExitStack() as stack:
        sides = [
            stack.enter_context(installation(side, given, suite))
            for side, given in (("BASE", base), ("HEAD", head))
        ]
        plans = [plan(one, [*which, *both]) for one in sides]
        trials = in_common(*plans)
        for one, planned in zip(sides, plans):
            if alone := len(planned) - len(trials):
                typer.echo(f"note: {alone} trials only {one.side} plans do not run", err=True)
        total = 2 * rounds * len(trials)
        done = 0

        def tell(turn: Turn) -> None:
            nonlocal done
            done += 1
            label, ended = printable(turn.trial.label), "" if not turn.exit_code else ": failed"
            line = f"[{done}/{total}] round {turn.round + 1} {label} {turn.side}{ended}"
            typer.echo(line, err=True)

        return take_turns(sides[0], sides[1], trials, rounds, folder, both, tell)


def _words(
    single: dict[str, object], repeated: dict[str, list[str] | list[Path] | None],
    flags: dict[str, bool],
) -> list[str]:  # fmt: skip
    """The command line of what was given, for the sides' own commands."""
    words = [word for key, value in single.items() if value is not None for word in (key, value)]
    for key, values in repeated.items():
        words += [word for value in values or () for word in (key, value)]
    return [str(word) for word in words] + [flag for flag, wanted in flags.items() if wanted]
