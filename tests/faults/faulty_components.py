"""A plugin whose trainers fail in every way that a trial can fail, `once` or always.

With `once`, a file, the fault happens only as long as that file is not there, and makes it: run
again, the trial ends well. It is also how the campaign knows that the fault has happened.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench import hookimpl
from sparsebench.core.data.samples import Parts
from sparsebench.core.training.work import EpochRecord, Result

MIB = 2**20

HANGS_AT_IMPORT = os.environ.get("FAULT_HANGS_AT_IMPORT")

if HANGS_AT_IMPORT and os.getsid(0) == os.getpid() and not Path(HANGS_AT_IMPORT).exists():
    Path(HANGS_AT_IMPORT).touch()  # a trial's process leads its session, the supervisor does not
    while True:
        time.sleep(1)


@dataclass(frozen=True)
class Plain:
    """Stands for a model, a topology, an optimizer, a backend."""


@dataclass(frozen=True)
class PlainData:
    def load(self) -> Parts:
        X = np.arange(48, dtype=np.float32).reshape(12, 4)
        y = np.arange(12) % 2
        return Parts(X, y, X, y)

    def identity(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Works:
    """For some seconds, an epoch every 20 ms; the accuracy depends on the seed alone."""

    seconds: float = 0.05

    def run(self, work: Any) -> Result:
        for number in range(1, max(2, round(self.seconds / 0.02)) + 1):
            with work.meter.phase("train"):
                time.sleep(0.02)
                work.progress(number, number, 1.0)
            work.report(epoch(number))
        return result(work)


@dataclass(frozen=True)
class Fails:
    """how  one of the names in `HOW`"""

    how: str = "raises"
    once: str = ""
    after: float = 0.0

    def run(self, work: Any) -> Result:
        time.sleep(self.after)
        work.report(epoch(1))
        if self.once:
            if Path(self.once).exists():
                return result(work)
            Path(self.once).touch()
        given = HOW[self.how](work)
        return given if given is not None else result(work)


def result(work: Any) -> Result:
    accuracy = (work.seed * 37 % 100) / 100
    return Result(measures={"test_accuracy": accuracy}, layers=[], network=None)


def epoch(number: int) -> EpochRecord:
    return EpochRecord(
        epoch=number, train_loss=1.0, test_loss=1.0, test_accuracy=0.5, validation_accuracy=None,
        learning_rate=0.1, connections=[1], dropped=[0], grown=[0], pruned=[0], data_seconds=0.0,
        train_seconds=0.0, topology_seconds=0.0, eval_seconds=0.0,
    )  # fmt: skip


# --- the faults --------------------------------------------------------------------------


def raises(work: Any) -> None:
    raise ValueError("as it does now and then")


def nan(work: Any) -> Result:
    return Result(measures={"train_loss": float("nan")}, layers=[], network=None, diverged=True)


def segfault(work: Any) -> None:
    ctypes.string_at(0)


def killed(work: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def aborts(work: Any) -> None:
    os.abort()


def leaves(work: Any) -> None:
    os._exit(3)


def leaves_quietly(work: Any) -> None:
    os._exit(0)


def allocates(work: Any) -> None:
    """Until there is no more: a limit on data says so first."""
    kept = []
    while True:
        kept.append(np.ones(16 * MIB, dtype=np.uint8))


def shares(work: Any) -> None:
    """Memory that no limit on data sees: the guard on resident memory has to."""
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    shared = mmap.mmap(-1, 4096 * MIB)
    for at in range(0, 4096 * MIB, mmap.PAGESIZE):
        shared[at] = 1


def spikes(work: Any) -> Result:
    """100 MiB for 100 ms."""
    with work.meter.phase("train"):
        spike = np.ones(100 * MIB, dtype=np.uint8)
        time.sleep(0.1)
        del spike
    return result(work)


def deaf_family(work: Any) -> None:
    """A grandchild and this process ignore TERM, and stay."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code])
    time.sleep(600)


def stays(work: Any) -> None:
    time.sleep(600)


def loops(work: Any) -> None:
    """In C, without a look at signals, and with the interpreter's lock."""
    sum(iter(int, 1))


def prints(work: Any) -> Result:
    line = "x" * 1023 + "\n"
    for _ in range(50 * 1024):
        sys.stdout.write(line)
    return result(work)


def closes_stdout(work: Any) -> Result:
    os.close(1)
    os.close(2)
    return result(work)


def spoils_result(work: Any) -> None:
    """Leaves what is no result, and goes."""
    folder = own_folder()
    (folder / "result.json").write_text("{" * 1000)
    os._exit(0)


def false_result(work: Any) -> None:
    """Leaves a result of the wrong shape, and goes."""
    (own_folder() / "result.json").write_text('{"status": "splendid", "measures": [1]}')
    (own_folder() / "progress.json").write_text('{"epoch": [], "loss": {}}')
    os._exit(0)


def nested_result(work: Any) -> None:
    """Leaves JSON that no parser gets to the bottom of, and goes."""
    (own_folder() / "result.json").write_text("[" * 200_000)
    os._exit(0)


def spoils_outcome(work: Any) -> Result:
    """Writes what looks like an outcome, and rubbish beside it."""
    folder = own_folder()
    (folder / "outcome.json").write_text('{"status": "ok"}')
    (folder / "epochs.jsonl").write_text('{"epoch": 1}\n{"epo')
    (folder / "rubbish.bin").write_bytes(os.urandom(1000))
    return result(work)


def own_folder() -> Path:
    """The attempt's: where stdout goes."""
    return Path(os.readlink("/proc/self/fd/1")).parent


HOW = {
    f.__name__: f
    for f in (raises, nan, segfault, killed, aborts, leaves, leaves_quietly, allocates, shares,
              spikes, deaf_family, stays, loops, prints, closes_stdout, spoils_result,
              false_result, nested_result, spoils_outcome)
}  # fmt: skip


@hookimpl
def register_trainers(register: Any) -> None:
    register("works", Works)
    register("fails", Fails)


@hookimpl
def register_models(register: Any) -> None:
    register("plain", Plain)


@hookimpl
def register_topologies(register: Any) -> None:
    register("plain", Plain)


@hookimpl
def register_optimizers(register: Any) -> None:
    register("plain", Plain)


@hookimpl
def register_backends(register: Any) -> None:
    register("plain", Plain)


@hookimpl
def register_datasets(register: Any, data_dir: Path) -> None:
    register("plain", PlainData)
