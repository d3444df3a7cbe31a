"""Faults of the supervisor: killed at random moments, two at once, the clock set back."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from arena import Arena, check, works

FULL_DISK = Path(__file__).parent / "full_disk.py"
SET_BACK = Path(__file__).parent / "clock_set_back.py"


def stopped(folder: Path, rng: random.Random, number: signal.Signals, times: int) -> int:
    """Stop the supervisor with a signal at `times` random moments, each run going on where the
    one before was stopped; whenever all trials are done, in a store anew. Returns the moments."""
    done, arena, used = 0, None, 0
    while done < times:
        if arena is None:
            used += 1
            arena = Arena(folder / str(used), works(6, 0.1))
        before = arena.outcomes()
        process = arena.start()
        time.sleep(rng.uniform(0.0, 2.5))
        early = process.poll() is None
        if early:
            process.send_signal(number)
            done += 1
        ended = arena.finish(process)
        if early:
            check_code(ended.code, number, ended.err)
        arena.check_all(before)
        if all_done(arena):
            arena.check_rerun()
            arena = None
    if arena is not None:
        arena.check_rerun()
        arena.check_all({})
    return done


def check_code(code: int, number: signal.Signals, err: str) -> None:
    """What is documented; or 0 where the last trial had ended, or the signal's own where Python
    was not yet, or no longer, listening."""
    documented = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
    fine = {documented.get(number, -number), 0, -number}
    check(code in fine, f"exit code {code} after {number.name}: {err[-800:]}")
    pythons_own = number == signal.SIGINT and "sparsebench" not in err  # it was still starting
    check("Traceback" not in err or pythons_own, f"a traceback: {err[-1500:]}")


def all_done(arena: Arena) -> bool:
    if not arena.store.exists():
        return False
    records = arena.records()
    return len(records) == len(arena.trainers) and all(r.status == "ok" for r in records)


def two_at_once(folder: Path, rng: random.Random) -> None:
    """Both end well, and no trial is done twice."""
    arena = Arena(folder, works(4, 0.2))
    first = arena.start()
    time.sleep(rng.uniform(0, 1.0))
    second = arena.start()
    ended = [arena.finish(process) for process in (first, second)]
    for one in ended:
        check(one.code == 0, f"exit code {one.code}: {one.err[-800:]}")
        check(sum(one.summary["counts"].values()) == 4, f"counts {one.summary['counts']}")
    attempts = Counter(record.attempt for record in arena.records())
    check(attempts == Counter({1: 4}), f"attempts {attempts}")
    arena.check_all({})


def one_of_two_killed(folder: Path, rng: random.Random) -> None:
    """The other does what is left."""
    arena = Arena(folder, works(4, 0.2))
    processes = [arena.start(), arena.start()]
    time.sleep(rng.uniform(0.3, 2.0))
    unlucky = rng.randrange(2)
    processes[unlucky].kill()
    arena.finish(processes[unlucky])
    ended = arena.finish(processes[1 - unlucky])
    check(ended.code == 0, f"exit code {ended.code}: {ended.err[-800:]}")
    check(all_done(arena), "not all trials are done")
    arena.check_all({})
    arena.check_rerun()


def disk_full(folder: Path, rng: random.Random, call: str, at: int) -> bool:
    """The supervisor's `at`-th call of a kind fails with ENOSPC, and each one after it.

    False once there are no more calls of the kind: nothing failed.
    """
    happened = folder / "happened"
    arena = Arena(folder, works(2))
    before = arena.outcomes()
    faulty = Arena.__new__(Arena)
    faulty.__dict__ |= arena.__dict__
    faulty.program = (sys.executable, str(FULL_DISK), call, str(at), str(happened))
    ended = faulty.run()
    if not happened.exists():
        check(ended.code == 0, f"exit code {ended.code}: {ended.err[-800:]}")
        return False
    check(ended.code in (0, 1, 2), f"exit code {ended.code}: {ended.err[-1500:]}")
    check("Traceback" not in ended.err, f"a traceback: {ended.err[-1500:]}")
    arena.check_all(before)
    arena.check_rerun()
    arena.check_all({})
    return True


def small_disk(folder: Path, rng: random.Random) -> None:
    """A real file system of a few pages, full in the middle. Needs the right to mount."""
    place = folder / "small"
    place.mkdir(parents=True)
    mount("tmpfs", place, f"size={4096 * rng.randrange(6, 60)}")
    try:
        arena = Arena(folder, works(6))
        arena.store = place / "store"
        ended = arena.run()
        check(ended.code in (0, 1, 2), f"exit code {ended.code}: {ended.err[-800:]}")
        check("Traceback" not in ended.err, f"a traceback: {ended.err[-1500:]}")
        before = arena.outcomes()
        arena.check_all(before)
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        arena.check_rerun()
        arena.check_intact(before)
        arena.check_all({})
    finally:
        subprocess.run(["umount", str(place)], check=True)


def read_only(folder: Path, rng: random.Random) -> None:
    """Reading needs no right to write; a run says in one line that it cannot."""
    arena = Arena(folder, works(2))
    check(arena.run().code == 0, "the first run failed")
    before = arena.outcomes()
    mount("none", arena.store, f"bind,source={arena.store}", bind=arena.store)
    try:
        for verb in (["show", "latest"], ["status", "latest"], ["ls", "runs"],
                     ["store", "verify"], ["export", "latest", "--format", "csv"]):  # fmt: skip
            done = subprocess.run(
                [*arena.program, *verb, "--store", str(arena.store)],
                capture_output=True, text=True, env=arena.environment,
            )  # fmt: skip
            check(done.returncode == 0, f"{verb}: {done.stderr[-500:]}")
        ended = arena.run("--no-resume")
        check(ended.code == 2 and "read-only" in ended.err, f"{ended.code}: {ended.err[-500:]}")
    finally:
        subprocess.run(["umount", str(arena.store)], check=True)
    arena.check_intact(before)
    arena.check_all(before)
    arena.check_rerun()


def clock_set_back(folder: Path, rng: random.Random) -> None:
    """A run an hour earlier than the one before it: `latest` is still the one run last."""
    arena = Arena(folder, works(3))
    check(arena.run().code == 0, "the first run failed")
    before = arena.outcomes()
    faulty = Arena.__new__(Arena)
    faulty.__dict__ |= arena.__dict__
    faulty.program = (sys.executable, str(SET_BACK), str(rng.randrange(60, 100_000)))
    ended = faulty.run()
    check(ended.code == 0, f"exit code {ended.code}: {ended.err[-800:]}")
    check(ended.summary["reused"] == 3, f"{ended.summary['reused']} reused")
    arena.check_all(before)
    latest = subprocess.run(
        [*arena.program, "show", "latest", "--store", str(arena.store), "--json"],
        capture_output=True, text=True, env=arena.environment,
    )  # fmt: skip
    check(latest.returncode == 0, latest.stderr[-500:])
    check(ended.summary["run"] in json.dumps(json.loads(latest.stdout)), "latest is another run")
    again = faulty.run("--no-resume")
    check(again.code == 0, f"exit code {again.code}: {again.err[-800:]}")
    for record in arena.records():
        wall = record.measures["wall_seconds"]
        check(wall is not None and 0 < wall < 60, f"{wall} seconds by a clock set back")
    arena.check_all(before)


class CannotMount(Exception):
    """This user may not mount: the fault cannot be tried here."""


def mount(kind: str, place: Path, options: str, bind: Path | None = None) -> None:
    """A tmpfs, or a read-only view of a folder on itself."""
    if os.geteuid() != 0:
        raise CannotMount("needs the right to mount")
    if bind is None:
        steps = [["mount", "-t", kind, "-o", options, kind, str(place)]]
    else:
        steps = [["mount", "--bind", str(bind), str(place)],
                 ["mount", "-o", "remount,bind,ro", str(place)]]  # fmt: skip
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode != 0:
            raise CannotMount(done.stderr.strip())
