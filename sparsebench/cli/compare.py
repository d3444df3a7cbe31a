"""`sparsebench compare`, `ab`, `check`: compare runs and judge claims."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.output import append_step_summary, print_json, wrapped
from sparsebench.errors import NothingMatched, printable
from sparsebench.store.store import Store
from sparsebench.units import brief_seconds

if TYPE_CHECKING:
    from sparsebench.analysis.comparison import Comparison
    from sparsebench.metrics import Metrics
    from sparsebench.run.ab.turns import Turn

SIDE = "Run id, run or store directory, 'latest', or a baseline: name or file."
ENVIRONMENT = "Folder of a virtual environment, git:REV, or . for this installation."
OPTION_NAMES = {"settings": "--set", "plugins": "--plugin", "select": "-k"}
"""Parameter -> option, for options whose name differs from their parameter."""


def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help=SIDE)],
    head: Annotated[str, typer.Argument(metavar="HEAD", help=SIDE)],
    store: o.Store,
    gates: o.GateFile = None,
    fail_if: o.FailIf = None,
    min_seeds: o.MinSeeds = None,
    alpha: o.Alpha = None,
    time_gate: Annotated[
        bool, o.flag("--time-gate", "Times fail too; for a machine with nothing else on it.")
    ] = False,
    strict: o.Strict = False,
    format: o.ComparisonFormatOption = "table",
    json: o.Json = False,
) -> None:
    """Compare HEAD with BASE, cell by cell.

    A cell is all trials that differ only in seed and fold. Each metric of a cell gets a verdict,
    such as worse, better, same, ok (not worse than its gate allows) or cannot tell.

    Exit codes: 0 no gate failed; 2 usage; 3 a gate failed; 5 no cell in common; 6 nothing could
    be decided, or with --strict not everything.
    """
    from sparsebench.analysis import ab_rounds, comparison
    from sparsebench.analysis.baseline import side_named
    from sparsebench.analysis.gates import default_gates, resolve_gates

    halves = ab_rounds.ab_folder_of(Path(base), Path(head))
    if halves is not None:
        sides, judge, defaults = (
            ab_rounds.sides_of(halves), ab_rounds.compare_rounds, ab_rounds.gates_of_rounds()
        )  # fmt: skip
    else:
        sides = side_named(Store(store), base), side_named(Store(store), head)
        judge, defaults = comparison.compare, default_gates()
    metrics = sides[0].metrics | sides[1].metrics
    chosen = resolve_gates(
        gates, fail_if or (), min_seeds, alpha, strict, defaults, time_gate, metrics
    )
    found = judge(*sides, chosen)
    _print_comparison(found, format)
    raise typer.Exit(found.exit_code)


@o.with_options(o.selection)
def ab(
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

    The two take turns trial by trial and are compared pair by pair. A machine that gets slower
    slows both, so longer times fail here, and do not only warn as in compare.

    Exit codes: as compare; 130 and 143 stopped, finished pairs are kept and can be compared.
    """
    from sparsebench.analysis.ab_rounds import compare_rounds, gates_of_rounds, sides_of
    from sparsebench.analysis.gates import resolve_gates
    from sparsebench.discovery import load_plugins
    from sparsebench.run.ab.installations import installation
    from sparsebench.run.ab.turns import in_common, plan, take_turns

    metrics = load_plugins(options["plugins"] or [], options["data"]).metrics
    chosen = resolve_gates(
        gates, fail_if or (), min_seeds, alpha, strict, gates_of_rounds(), metrics=metrics
    )
    suite, store = options.pop("suite"), options.pop("store")
    folder = store / "ab" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    choosing = _words({name: options.pop(name) for name in ("seeds", "select", "shard")})
    both = _words(options)
    with ExitStack() as stack:
        sides = [
            stack.enter_context(installation(side, place, suite))
            for side, place in (("BASE", base), ("HEAD", head))
        ]
        plans = [plan(one, [*choosing, *both]) for one in sides]
        trials = in_common(*plans)
        for one, planned in zip(sides, plans):
            if alone := len(planned) - len(trials):
                typer.echo(f"note: {alone} trials only {one.side} plans do not run", err=True)
            typer.echo(f"{one.side} is {printable(one.name)}", err=True)
        turns: list[Turn] = []
        start = time.monotonic()

        def print_turn(turn: Turn) -> None:
            turns.append(turn)
            label, failed = printable(turn.trial.label), ": failed" if turn.exit_code else ""
            planned = 2 * rounds * len(trials)
            count = f"[{len(turns)}/{planned}]"
            typer.echo(f"{count} round {turn.round + 1} {label} {turn.side}{failed}", err=True)
            if len(turns) % 2:
                return
            if line := results_of_pair(folder, turns[-2:], metrics):
                typer.echo(f"  {line}", err=True)
            left = (time.monotonic() - start) / len(turns) * (planned - len(turns))
            if left >= 60:
                typer.echo(f"  about {brief_seconds(left)} left", err=True)

        ended = take_turns(sides[0], sides[1], trials, rounds, folder, both, print_turn)
    again = f"sparsebench compare {folder / 'base'} {folder / 'head'}"
    if ended.stopped is not None:
        line = f"stopped after {ended.pairs} of {ended.planned} pairs"
        typer.echo(f"{line}; compare them: {again}" if ended.pairs else line, err=True)
        raise typer.Exit(ended.stopped)
    typer.echo(f"kept; again, in another format: {again}", err=True)
    found = compare_rounds(*sides_of(folder), chosen)
    _print_comparison(found, format)
    raise typer.Exit(found.exit_code)


def results_of_pair(folder: Path, turns: Sequence[Turn], metrics: Metrics) -> str:
    """A line with the results of a pair, two turns of one trial; empty if a record is missing."""
    from sparsebench.report.comparison import pair_line

    records = {
        turn.side: record
        for turn in turns
        for record in Store(folder / turn.side.lower()).run(turn.run).records
        if record.trial.id == turn.trial.id
    }
    if len(records) < 2:
        return ""
    return printable(pair_line(records["BASE"], records["HEAD"], metrics))


def check(
    run: o.RunName, store: o.Store, format: o.TableFormatOption = "table", json: o.Json = False
) -> None:
    """Judge the claims of a run's suite.

    The verdict on each is one of: holds, fails, cannot tell, too few seeds, not run, not judged.

    Exit codes: 0 none fails, and at least one holds; 2 usage; 4 a claim fails; 5 the suite makes
    no claims; 6 nothing could be decided.
    """
    from sparsebench.analysis import claims
    from sparsebench.report.claims import as_markdown, as_text, to_json

    found = Store(store).run(run)
    rows = claims.check(found)
    if format == "json":
        print_json(to_json(found.id, rows))
    elif not rows:
        raise NothingMatched(f"the suite of run {found.id} makes no claims: nothing to check")
    else:
        text = as_markdown(rows) if format == "md" else wrapped(as_text(rows))
        typer.echo(text, nl=format != "md")
        append_step_summary(as_markdown(rows))
    raise typer.Exit(claims.exit_code(rows))


def _print_comparison(found: Comparison, format: str) -> None:
    """Print the result, also on the summary page of a GitHub workflow."""
    from sparsebench.report.comparison import as_junit, as_markdown, as_text, to_json

    page = as_markdown(found)
    if format == "json":
        print_json(to_json(found))
    else:
        text = {"md": page, "junit": as_junit(found), "table": as_text(found) + "\n"}[format]
        typer.echo(text, nl=False)
    append_step_summary(page)


def _words(options: dict[str, Any]) -> list[str]:
    """The values of options as the words of a command line, for the commands of the two sides."""
    words: list[str] = []
    for name, value in options.items():
        option = OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            words.append(option)
        for one in value if isinstance(value, list) else [value]:
            if one not in (None, True, False):
                words += [option, str(one)]
    return words
