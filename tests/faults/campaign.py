"""The fault campaign: every kind of fault, many times, at random moments, and what came of it.

    python tests/faults/campaign.py                    # at least 500 faults, about forty minutes
    python tests/faults/campaign.py --write docs/reliability.md
    python tests/faults/campaign.py -k disk --scale 0.1

Each fault is injected into a run of its own store. After each: what was finished is unchanged,
the damaged trial has its status and cause, no process is left, `store verify` is clean, and a
second run does the rest and only the rest. Ends with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import supervisor_faults as supervisor
import trial_faults as trial

BEGIN, END = "<!-- campaign: begin -->\n", "<!-- campaign: end -->\n"

CALLS = {"write": "a write", "fsync": "a flush to the disk", "replace": "a rename",
         "mkdir": "making a folder", "open": "opening a file to write"}  # fmt: skip
MOST_CALLS = 60
"""Calls of a kind that a run of two trials makes at most."""

SIGNALS = {"SIGKILL": "killed by -9", "SIGTERM": "sent TERM", "SIGINT": "sent INT (Ctrl-C)",
           "SIGHUP": "sent HUP"}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """times   in the whole campaign
    inject  does `count` faults in a folder; returns how many it did
    """

    name: str
    says: str
    times: int
    inject: Callable[[Path, random.Random, int], int]


@dataclass
class Outcome:
    kind: Kind
    tried: int = 0
    survived: int = 0
    why: str = ""
    skipped: str = ""


def kinds() -> Iterator[Kind]:
    for fault in trial.FAULTS:
        yield Kind(f"trial-{fault.how}", fault.says, 6, each(fault.inject))
    yield Kind("trial-spike-measured", "that spike's peak is recorded", 4,
               each(trial.spike_is_measured))  # fmt: skip
    yield Kind("trial-import", "a plugin hangs at its import", 6, each(trial.hang_at_import))
    for name, says in SIGNALS.items():
        yield Kind(f"supervisor-{name}", f"the supervisor is {says}", 100, stopping(name))
    yield Kind("two-at-once", "two supervisors at once", 12, each(supervisor.two_at_once))
    yield Kind("two-one-killed", "one of two supervisors is killed by -9", 12,
               each(supervisor.one_of_two_killed))  # fmt: skip
    for call, says in CALLS.items():
        yield Kind(f"disk-{call}", f"disk full at {says}, at each such call", MOST_CALLS,
                   filling(call))  # fmt: skip
    yield Kind("disk-small", "a small disk is full in the middle", 12, each(supervisor.small_disk))
    yield Kind("read-only", "the store is mounted read-only", 4, each(supervisor.read_only))
    yield Kind("clock", "the clock is set back", 6, each(supervisor.clock_set_back))


def each(inject: Callable[[Path, random.Random], None]) -> Callable[..., int]:
    def several(folder: Path, rng: random.Random, count: int) -> int:
        for number in range(count):
            inject(folder / str(number), rng)
        return count

    return several


def stopping(name: str) -> Callable[..., int]:
    def several(folder: Path, rng: random.Random, count: int) -> int:
        return supervisor.stopped(folder, rng, signal.Signals[name], count)

    return several


def filling(call: str) -> Callable[..., int]:
    """At the first call, the second ... until there are no more; `count` of them, spread."""

    def several(folder: Path, rng: random.Random, count: int) -> int:
        done = 0
        for at in range(1, MOST_CALLS, max(1, MOST_CALLS // count)):
            if not supervisor.disk_full(folder / str(at), rng, call, at):
                break
            done += 1
        return done

    return several


def run_kind(kind: Kind, folder: Path, seed: int, count: int, batch: int = 4) -> Outcome:
    """A batch at a time, so that what went wrong is known to a few."""
    outcome = Outcome(kind)
    left, number = count, 0
    whole = kind.name.startswith("disk-") and kind.name != "disk-small"
    while left > 0:
        number += 1
        some = left if whole else min(batch, left)
        rng = random.Random(f"{seed} {kind.name} {number}")
        try:
            done = kind.inject(folder / f"{kind.name}-{number}", rng, some)
        except supervisor.CannotMount as error:
            outcome.skipped = str(error)
            break
        except Exception as error:  # the table has to be printed whatever happens
            outcome.tried += some
            outcome.why = outcome.why or f"{type(error).__name__}: {error}"
            if not isinstance(error, AssertionError):
                traceback.print_exc()
        else:
            outcome.tried += done
            outcome.survived += done
        left -= some
    return outcome


def table(outcomes: list[Outcome]) -> str:
    lines = ["| fault | tried | survived |", "|---|---:|---:|"]
    for one in outcomes:
        tried = f"{one.tried}" if not one.skipped else f"not tried: {one.skipped}"
        survived = f"{one.survived}" if not one.skipped else ""
        lines.append(f"| {one.kind.says} | {tried} | {survived} |")
    tried, survived = (sum(getattr(o, key) for o in outcomes) for key in ("tried", "survived"))
    lines.append(f"| **all** | **{tried}** | **{survived}** |")
    return "\n".join(lines) + "\n"


def write_into(document: Path, text: str) -> None:
    """Between the two marks of the document."""
    before, rest = document.read_text().split(BEGIN)
    _, after = rest.split(END)
    document.write_text(f"{before}{BEGIN}{text}{END}{after}")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("-k", default="", help="only kinds with this in their name")
    options.add_argument("--scale", type=float, default=1.0, help="times as many of each kind")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--at-once", type=int, default=2, help="kinds under way at once")
    options.add_argument("--write", type=Path, help="document that the table goes into")
    arguments = options.parse_args()
    chosen = [kind for kind in kinds() if arguments.k in kind.name]
    started = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(arguments.at_once) as pool:
        pending = [
            pool.submit(run_kind, kind, Path(scratch), arguments.seed,
                        max(1, round(kind.times * arguments.scale)))
            for kind in chosen
        ]  # fmt: skip
        for one in pending:
            outcome = one.result()
            outcomes.append(outcome)
            note = outcome.skipped or outcome.why
            print(f"{outcome.kind.name}: {outcome.survived} of {outcome.tried} {note}", flush=True)
    print(f"\n{table(outcomes)}\n{(time.monotonic() - started) / 60:.0f} minutes")
    if arguments.write is not None:
        write_into(arguments.write, table(outcomes))
    return 0 if all(one.survived == one.tried for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
