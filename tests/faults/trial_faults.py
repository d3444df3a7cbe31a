"""Faults inside a trial: how each has to end, and that it hurts nobody else."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena import Arena, check, works

MIB = 2**20


@dataclass(frozen=True)
class TrialFault:
    """how      the function of `faulty_components` that does it
    status, cause  how the trial has to end; a cause of None may be anything
    limits   of every trial
    reused   whether the failed record stands until `--rerun failed`
    """

    how: str
    says: str
    status: str
    cause: str | None = ""
    limits: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def inject(self, folder: Path, rng: random.Random) -> None:
        """Among others, at a random place and time; then everything that has to hold."""
        once = folder / "happened"
        fault = {"name": "fails", "how": self.how, "once": str(once),
                 "after": round(rng.uniform(0, 0.1), 3)}  # fmt: skip
        trainers = works(2)
        trainers.insert(rng.randrange(3), fault)
        variables = {key: value.format(once=once) for key, value in self.variables.items()}
        arena = Arena(folder, trainers, self.limits, variables)
        ended = arena.run()
        check(once.exists(), f"the fault did not happen: {ended.err[-500:]}")
        self.check_record(arena)
        check(ended.code == (0 if self.status == "ok" else 1), f"exit code {ended.code}")
        ok = [record for record in arena.records() if record.status == "ok"]
        check(len(ok) == (3 if self.status == "ok" else 2), f"{len(ok)} trials ended well")
        arena.check_all({})
        arena.check_rerun("--rerun", "failed")
        arena.check_all({})

    def check_record(self, arena: Arena) -> None:
        record = arena.failing()
        check(record.status == self.status, f"status {record.status} {record.detail}")
        if self.cause is not None:
            check(record.cause == self.cause, f"cause {record.cause!r} of {record.status}")
        epochs = arena.store.glob(f"trials/*/{record.trial.id}/1/epochs.jsonl")
        check(any(epochs) or self.how == "hangs_at_import", "its first epoch is not kept")


LIMITED = {"memory_limit": "300MiB"}
SHORT = {"timeout": "3s"}

FAULTS = (
    TrialFault("raises", "a trial raises", "error", "ValueError"),
    TrialFault("nan", "its loss becomes NaN", "diverged"),
    TrialFault("segfault", "it follows a wild pointer", "crashed", "SIGSEGV"),
    TrialFault("aborts", "it aborts", "crashed", "SIGABRT"),
    TrialFault("killed", "it is killed by SIGKILL", "killed", "SIGKILL"),
    TrialFault("leaves", "it exits without a result", "crashed", "exit 3 without result"),
    TrialFault("leaves_quietly", "it exits with 0, without a result", "crashed",
               "exit 0 without result"),
    TrialFault("allocates", "it allocates without end", "out-of-memory", "alloc", LIMITED),
    TrialFault("shares", "it fills shared memory without end", "out-of-memory", "limit", LIMITED),
    TrialFault("spikes", "it takes 100 MiB for 100 ms", "ok"),
    TrialFault("deaf_family", "it and its child ignore TERM", "timeout", "", SHORT),
    TrialFault("stays", "it sleeps for ever", "timeout", "", SHORT),
    TrialFault("loops", "it never releases the interpreter", "timeout", "", SHORT),
    TrialFault("prints", "it prints 50 MB", "ok"),
    TrialFault("closes_stdout", "it closes stdout and stderr", "ok"),
    TrialFault("spoils_result", "it leaves half a result", "crashed", "exit 0 without result"),
    TrialFault("false_result", "it leaves a result of the wrong shape", "crashed",
               "exit 0 without result"),
    TrialFault("nested_result", "it leaves JSON without a bottom", "crashed",
               "exit 0 without result"),
    TrialFault("spoils_outcome", "it writes a false outcome and rubbish into the store", "ok"),
)  # fmt: skip


def spike_is_measured(folder: Path, rng: random.Random) -> None:
    """Not only survived: the record has the peak."""
    TrialFault("spikes", "", "ok").inject(folder, rng)
    arena = Arena(folder / "again", [{"name": "fails", "how": "spikes"}])
    arena.run()
    peak = arena.failing().measures["net_peak_bytes"]
    check(peak is not None and abs(peak - 100 * MIB) <= 2 * MIB, f"100 MiB measured as {peak}")


def hang_at_import(folder: Path, rng: random.Random) -> None:
    """A plugin that never comes back from its import, in one trial's process."""
    hang = folder / "hung"
    arena = Arena(folder, works(3), {"timeout": "10s"}, {"FAULT_HANGS_AT_IMPORT": str(hang)})
    ended = arena.run()
    check(hang.exists() and ended.code == 1, f"exit code {ended.code}: {ended.err[-500:]}")
    statuses = sorted(str(record.status) for record in arena.records())
    check(statuses == ["ok", "ok", "timeout"], f"statuses {statuses}")
    arena.check_all({})
    arena.check_rerun("--rerun", "failed")
    arena.check_all({})
