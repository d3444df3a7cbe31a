"""A store, a suite of small trials, and everything that has to hold after a fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsebench.store.record import Record
from sparsebench.store.store import Store
from sparsebench.suite.labels import label

PLUGIN = Path(__file__).parent / "faulty_components.py"
MARK = "SPARSEBENCH_FAULT_MARK"
"""An environment variable that every process of an arena inherits."""

PATIENCE = 60.0
"""Seconds after which something hangs."""


class NotSurvived(AssertionError):
    """A fault did harm."""


@dataclass
class Arena:
    """trainers  one trial each, as a suite names trainers; all else is plain"""

    folder: Path
    trainers: Sequence[Mapping[str, Any]]
    limits: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = (sys.executable, "-m", "sparsebench")

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = self.folder / "store"
        self.mark = uuid.uuid4().hex
        self.suite = self.folder / "faults.toml"
        self.suite.write_text(self._suite_text())

    def _suite_text(self) -> str:
        limits = "".join(f"{key} = {json.dumps(value)}\n" for key, value in self.limits.items())
        trainers = ",\n  ".join(_inline(one) for one in self.trainers)
        return (
            'schema = 1\nname = "faults"\n[trial]\n'
            'dataset = "plain"\nmodel = "plain"\ntopology = "plain"\noptimizer = "plain"\n'
            f'backend = "plain"\nepochs = 2\nthreads = 1\n{limits}'
            f"[grid]\ntrainer = [\n  {trainers}\n]\n"
        )

    # --- doing --------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        cache = {"SPARSEBENCH_CACHE": str(self.folder / "cache")}
        return {**os.environ, **cache, MARK: self.mark, **self.variables}

    def start(self, *more: str) -> subprocess.Popen[str]:
        """`sparsebench run` on the suite, under way."""
        return subprocess.Popen(
            [*self.program, "run", str(self.suite), "--plugin", str(PLUGIN), "--store",
             str(self.store), "--data", str(self.folder / "data"), "--no-plan", "--json", *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )  # fmt: skip

    def finish(self, process: subprocess.Popen[str]) -> Ended:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise NotSurvived(f"the supervisor hangs: {err[-500:]}") from None
        return Ended(process.returncode, out, err)

    def run(self, *more: str) -> Ended:
        return self.finish(self.start(*more))

    # --- looking ------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """The newest of each trial."""
        store = Store(self.store)
        return [found[-1] for trial in store.trial_ids() if (found := store.records(trial))]

    def outcomes(self) -> dict[Path, bytes]:
        """What is finished, byte for byte."""
        return {file: file.read_bytes() for file in self.store.glob("trials/*/*/*/outcome.json")}

    def failing(self) -> Record:
        """The newest record of the one trial that fails."""
        (found,) = [r for r in self.records() if r.trial.trainer["name"] == "fails"]
        return found

    # --- what has to hold ---------------------------------------------------------------

    def check_intact(self, before: Mapping[Path, bytes]) -> None:
        """What was finished is still there, unchanged."""
        now = self.outcomes()
        for file, content in before.items():
            check(now.get(file) == content, f"a finished result is lost or changed: {file}")

    def check_no_orphans(self) -> None:
        """No process of this arena is left, a moment after the supervisor."""
        deadline = time.monotonic() + 5
        while left := marked(self.mark):
            if time.monotonic() > deadline:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                raise NotSurvived(f"processes are left: {left}")
            time.sleep(0.02)

    def check_verified(self) -> None:
        """`store verify` finds no damage."""
        done = subprocess.run(
            [sys.executable, "-m", "sparsebench", "store", "verify", "--store", str(self.store),
             "--json"],
            capture_output=True, text=True, env=self.environment, timeout=PATIENCE,
        )  # fmt: skip
        check(done.returncode == 0, f"store verify: {done.stdout[-800:]}{done.stderr[-800:]}")

    def check_rerun(self, *more: str) -> None:
        """Run again: the rest, and only the rest, is done; then everything is there."""
        finished = {r.trial.id: r.attempt for r in self.records() if r.status == "ok"}
        before = self.outcomes()
        ended = self.run(*more)
        check(ended.code == 0, f"the rerun ended with {ended.code}: {ended.err[-800:]}")
        check(
            ended.summary["reused"] == len(finished),
            f"{ended.summary['reused']} reused, {len(finished)} were finished",
        )
        self.check_intact(before)
        now = {record.trial.id: record for record in self.records()}
        check(len(now) == len(self.trainers), f"{len(now)} of {len(self.trainers)} trials")
        for record in now.values():
            check(record.status == "ok", f"{label(record.trial)} is {record.status}")
        for trial, attempt in finished.items():
            check(now[trial].attempt == attempt, f"{trial} was finished and ran again")

    def check_all(self, before: Mapping[Path, bytes]) -> None:
        """After a fault, before anything is run again."""
        self.check_no_orphans()
        self.check_intact(before)
        if (self.store / "store.json").exists():
            self.check_verified()


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """What `--json` printed."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotSurvived(otherwise)


def marked(mark: str) -> list[int]:
    """The processes that inherited the mark, zombies not counted."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if wanted in variables.split(b"\0") and state != "Z":
            found.append(int(folder.name))
    return found


def _inline(trainer: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in trainer.items()) + " }"


def works(count: int, seconds: float = 0.05) -> list[dict[str, Any]]:
    """Trainers of trials that end well, each a trial of its own."""
    return [{"name": "works", "seconds": round(seconds + i / 1000, 3)} for i in range(count)]
