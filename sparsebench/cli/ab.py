"""`sparsebench ab`: two installations in turn, trial by trial, and what differs between them."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.compare import print_comparison, resolve_gates
from sparsebench.errors import printable

if TYPE_CHECKING:
    from sparsebench.run.ab.turns import Ended, Turn

ENVIRONMENT = "Folder of a virtual environment, git:REV, or . for this installation."
OPTION_NAMES = {"settings": "--set", "plugins": "--plugin", "select": "-k"}


@o.with_options(o.selection)
def command(
    options: dict[str, Any],
    base: Annotated[str, typer.Argument(metavar="BASE_ENV", help=ENVIRONMENT)],
    head: Annotated[str, typer.Argument(metavar="HEAD_ENV", help=ENVIRONMENT)],
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each trial runs on both sides.")
    ] = 3,
    gates: o.GateFile = None,
    fail_if: o.FailIf = None,
    min_seeds: o.MinSeeds = None,
    alpha: o.Alpha = None,
    strict: o.Strict = False,
    format: o.ComparisonFormatOption = "table",
    json: o.Json = False,
) -> None:
    """Run SUITE on two installations in turn and compare them.

    They take turns trial by trial and are compared pair by pair. A machine that gets slower slows
    both sides, so times can fail here.

    Exit codes: as compare; 130 and 143 stopped, finished pairs are kept and can be compared.
    """
    from sparsebench.analysis.rounds import compare_rounds, gates_of_rounds, sides_of
    from sparsebench.discovery import load_plugins

    metrics = load_plugins(options["plugins"] or [], options["data"]).metrics
    chosen = resolve_gates(
        gates, fail_if, min_seeds, alpha, strict, gates_of_rounds(), metrics=metrics
    )
    suite, store = options.pop("suite"), options.pop("store")
    folder = store / "ab" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    ended = _run(base, head, suite, options, rounds, folder)
    again = f"sparsebench compare {folder / 'base'} {folder / 'head'}"
    if ended.stopped is not None:
        line = f"stopped after {ended.pairs} of {ended.planned} pairs"
        typer.echo(f"{line}; compare them: {again}" if ended.pairs else line, err=True)
        raise typer.Exit(ended.stopped)
    found = compare_rounds(*sides_of(folder), chosen)
    print_comparison(found, format)
    typer.echo(f"kept; again, in another format: {again}", err=True)
    raise typer.Exit(found.exit_code)


def _run(
    base: str, head: str, suite: str, options: dict[str, Any], rounds: int, folder: Path
) -> Ended:
    from sparsebench.run.ab.installations import installation
    from sparsebench.run.ab.turns import in_common, plan, take_turns

    choosing = _words({name: options.pop(name) for name in ("seeds", "select", "shard")})
    both = _words(options)
    with ExitStack() as stack:
        sides = [
            stack.enter_context(installation(side, given, suite))
            for side, given in (("BASE", base), ("HEAD", head))
        ]
        plans = [plan(one, [*choosing, *both]) for one in sides]
        trials = in_common(*plans)
        for one, planned in zip(sides, plans):
            if alone := len(planned) - len(trials):
                typer.echo(f"note: {alone} trials only {one.side} plans do not run", err=True)
        total = 2 * rounds * len(trials)
        done = 0

        def print_turn(turn: Turn) -> None:
            nonlocal done
            done += 1
            label, ended = printable(turn.trial.label), "" if not turn.exit_code else ": failed"
            line = f"[{done}/{total}] round {turn.round + 1} {label} {turn.side}{ended}"
            typer.echo(line, err=True)

        return take_turns(sides[0], sides[1], trials, rounds, folder, both, print_turn)


def _words(options: dict[str, Any]) -> list[str]:
    """The options as a command line, for the commands of the two sides."""
    words: list[str] = []
    for name, value in options.items():
        option = OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            words.append(option)
        for one in value if isinstance(value, list) else [value]:
            if one not in (None, True, False):
                words += [option, str(one)]
    return words
