"""Runs trials on two installations in turn, so that a disturbance of the machine meets both.

    FOLDER/turns.jsonl    a header, and a line for each turn that has ended
    FOLDER/base, head     the store of each side

A turn is one trial run on one side, BASE or HEAD; a pair is the two turns of a trial in one round.
A round runs a pair of every trial. The side that goes first alternates between pairs, and for each
trial between rounds.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.files import append_line, writing_to
from sparsebench.errors import NothingMatched, SparsebenchError, printable
from sparsebench.run.ab.installations import Installation
from sparsebench.run.signals import Signals
from sparsebench.store.schemas import TURNS, TURNS_SCHEMA

RUN = ("--no-resume", "--no-plan", "--no-audit", "--jobs", "1", "--json")
"""Options of each `sparsebench run`: one trial, nothing reused, nothing else measured."""

STOPPED = (130, 143)


@dataclass(frozen=True)
class Planned:
    """A trial in a side's plan; `label` is its name for people."""

    id: str
    seed: int
    label: str


@dataclass(frozen=True)
class Turn:
    """One trial that has run on one side.

    side       "BASE" or "HEAD"
    round      number of the round, from 0
    run        id of the run in the side's store
    exit_code  exit code of its `sparsebench run`
    """

    side: str
    round: int
    trial: Planned
    run: str
    exit_code: int


@dataclass(frozen=True)
class TurnsResult:
    """How a comparison ended.

    pairs    pairs of turns that are complete
    planned  pairs that were planned
    stopped  130 or 143 if a signal ended it, else None
    """

    pairs: int
    planned: int
    stopped: int | None


def plan(one: Installation, words: Sequence[str]) -> list[Planned]:
    """The trials that the side's `sparsebench plan` lists, given `words` as further options. Raises
    NothingMatched if these select none."""
    code, out, errors = _call(one, ["plan", one.suite, "--json", *words], None)
    if code:
        kind = NothingMatched if code == NothingMatched.exit_code else SparsebenchError
        raise kind(f"{one.side} ({one.name}) cannot run the suite: {_last(errors)}")
    try:
        trials = json.loads(out)["trials"]
        return [Planned(str(t["id"]), int(t["seed"]), str(t["label"])) for t in trials]
    except (ValueError, KeyError, TypeError):
        raise SparsebenchError(f"{one.side} ({one.name}): its plan cannot be read") from None


def in_common(base: Sequence[Planned], head: Sequence[Planned]) -> list[Planned]:
    """The trials that both sides plan, in HEAD's order; NothingMatched if there is none."""
    known = {trial.id for trial in base}
    found = [trial for trial in head if trial.id in known]
    if not found:
        raise NothingMatched(
            f"the {len(base)} trials of BASE and the {len(head)} of HEAD have none in common: "
            "the two versions read the suite differently"
        )
    return found


def order(trials: Sequence[Planned], rounds: int) -> Iterator[tuple[int, Planned, bool]]:
    """Yield each pair as its round, its trial, and whether HEAD goes first."""
    for round in range(rounds):
        for number, trial in enumerate(trials):
            yield round, trial, (number + round) % 2 == 1


def take_turns(
    base: Installation,
    head: Installation,
    trials: Sequence[Planned],
    rounds: int,
    folder: Path,
    words: Sequence[str] = (),
    on_turn: Callable[[Turn], None] = lambda turn: None,
) -> TurnsResult:
    """Run every trial on both sides, `rounds` times.

    A signal is passed on to the running side, which keeps its record, and ends the comparison.

    words  further options of each `sparsebench run`
    """
    pairs, planned = 0, rounds * len(trials)
    _begin(folder, base, head, rounds, planned)
    with Signals() as signals:
        for round, trial, head_first in order(trials, rounds):
            for one in (head, base) if head_first else (base, head):
                turn = _turn(one, trial, round, folder, words, signals)
                if turn is None or signals.exit_code is not None:
                    return TurnsResult(pairs, planned, signals.exit_code or 130)
                on_turn(turn)
            pairs += 1
    return TurnsResult(pairs, planned, None)


def _begin(folder: Path, base: Installation, head: Installation, rounds: int, pairs: int) -> None:
    header = {"ab": TURNS_SCHEMA, "base": base.name, "head": head.name, "rounds": rounds,
              "pairs": pairs}  # fmt: skip
    with writing_to(folder):
        folder.mkdir(parents=True)
        append_line(folder / TURNS, header, durable=True)


def _turn(
    one: Installation, trial: Planned, round: int, folder: Path, words: Sequence[str],
    signals: Signals,
) -> Turn | None:  # fmt: skip
    """Run one trial on one side; None if a signal stopped it."""
    store = (folder / one.side.lower()).absolute()
    given = ["--seeds", str(trial.seed), "-k", trial.id, "--store", str(store), *RUN, *words]
    code, out, errors = _call(one, ["run", one.suite, *given], signals)
    if code < 0 or code in STOPPED:
        return None
    summary = _object(out)
    if "run" not in summary:
        raise SparsebenchError(
            f"{one.side} ({one.name}): {trial.label}: exit code {code}: {_last(errors)}; "
            f"completed turns are in {folder}"
        )
    turn = Turn(one.side, round, trial, str(summary["run"]), code)
    with writing_to(folder):
        append_line(folder / TURNS, _line(turn), durable=True)
    return turn


def _line(turn: Turn) -> dict[str, Any]:
    return {
        "side": turn.side.lower(),
        "round": turn.round,
        "trial": turn.trial.id,
        "run": turn.run,
        "exit_code": turn.exit_code,
    }


def _call(one: Installation, words: Sequence[str], signals: Signals | None) -> tuple[int, str, str]:
    """Run a command of this side; returns exit code, stdout and stderr.

    The command has a process group of its own, so that Ctrl-C reaches it only through `_wait`.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [*one.command, *words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=errors, cwd=one.folder,
                env=dict(one.environment), process_group=0,
            )  # fmt: skip
        except OSError as error:
            raise SparsebenchError(
                f"{one.side} ({one.name}) cannot be started: {error.strerror}"
            ) from None
        with process:
            code = _wait(process, signals)
        out.seek(0)
        errors.seek(0)
        return code, out.read().decode(errors="replace"), errors.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], signals: Signals | None) -> int:
    sent = 0
    while True:
        try:
            return process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if signals is not None and signals.first is not None and signals.count > sent:
                sent = signals.count
                process.send_signal(signals.first)
        except KeyboardInterrupt:
            process.terminate()
            raise


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _last(errors: str) -> str:
    """The last line of stderr, which is the error, without its `error: `."""
    lines = [line for line in errors.splitlines() if line.strip()]
    return printable(lines[-1]).removeprefix("error: ")[:300] if lines else "no message"
