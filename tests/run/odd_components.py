"""A plugin whose trainers end in every way a trial can end."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
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
from sparsebench.errors import MissingData, Unsupported

MIB = 2**20


@dataclass(frozen=True)
class Odd:
    """Stands for a model, a topology, an optimizer, a backend."""


@dataclass(frozen=True)
class OddData:
    missing: bool = False

    def load(self) -> Parts:
        if self.missing:
            raise MissingData("odd.npz is not there", "sparsebench data fetch odd")
        X = np.arange(48, dtype=np.float32).reshape(12, 4)
        y = np.arange(12) % 2
        return Parts(X, y, X, y)

    def identity(self) -> dict[str, Any]:
        return {}


def result(**more: Any) -> Result:
    return Result(measures={"test_accuracy": 0.5}, layers=[], network=None, **more)


def epoch(number: int) -> EpochRecord:
    return EpochRecord(
        epoch=number, train_loss=1.0, test_loss=1.0, test_accuracy=0.5, validation_accuracy=None,
        learning_rate=0.1, connections=[1], dropped=[0], grown=[0], pruned=[0], data_seconds=0.0,
        train_seconds=0.0, topology_seconds=0.0, eval_seconds=0.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Fine:
    def run(self, work: Any) -> Result:
        for number in range(1, work.epochs + 1):
            with work.meter.phase("train"):
                work.progress(number, 1, 1.0)
            work.report(epoch(number))
        return result()


@dataclass(frozen=True)
class Nan:
    def run(self, work: Any) -> Result:
        return Result(measures={"train_loss": float("nan")}, layers=[], network=None, diverged=True)


@dataclass(frozen=True)
class Allocates:
    """`mib` while building and twice that while compiling; tells the state of its limits."""

    mib: int = 24
    fails: bool = False

    def warm_up(self, work: Any) -> None:
        touched(2 * self.mib)

    def run(self, work: Any) -> Result:
        with work.meter.phase("build"):
            kept = touched(self.mib)
            if self.fails:
                raise ValueError("no more")
        with work.meter.phase("train"):
            with work.meter.phase("topology"):
                touched(self.mib)
            kept[:] = 2
        return result()


@dataclass(frozen=True)
class Uncompilable:
    def warm_up(self, work: Any) -> None:
        raise TypeError("no such kernel")

    def run(self, work: Any) -> Result:
        return result()


def touched(mib: int) -> Any:
    return np.ones(mib * MIB, dtype=np.uint8)


@dataclass(frozen=True)
class Greedy:
    """Asks for more than there is: of the heap, in disguise, or of shared memory."""

    how: str = "heap"

    def run(self, work: Any) -> Result:
        if self.how == "heap":
            touched(4096)
        if self.how == "wrapped":
            try:
                touched(4096)
            except MemoryError as error:
                raise SystemError("returned NULL without setting an exception") from error
        if self.how == "map":
            mmap.mmap(-1, 4096 * MIB, flags=mmap.MAP_PRIVATE)
        if self.how == "shared":
            shared = mmap.mmap(-1, 1024 * MIB)
            for at in range(0, 1024 * MIB, mmap.PAGESIZE):
                shared[at] = 1
            time.sleep(60)
        if self.how == "bad_alloc":
            os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
            os.abort()
        return result()


@dataclass(frozen=True)
class Raises:
    error: str = "value"

    def run(self, work: Any) -> Result:
        if self.error == "unsupported":
            raise Unsupported("odd cannot do that")
        raise ValueError("the first line\nthe last line")


@dataclass(frozen=True)
class Fills:
    """Finds the disk full while it reports; `again`: from then on; `elsewhere`: another disk."""

    again: bool = False
    elsewhere: bool = False

    def run(self, work: Any) -> Result:
        def full(*given: Any) -> Any:
            if not self.again:
                os.write = real
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *where)

        real, where = os.write, ["/elsewhere/file"] if self.elsewhere else []
        os.write = full  # type: ignore[assignment]
        work.report(epoch(1))
        return result()


@dataclass(frozen=True)
class Edits:
    """Edits the file of a plugin that it uses."""

    file: str = ""

    def run(self, work: Any) -> Result:
        Path(self.file).write_text(Path(self.file).read_text() + "# edited\n")
        return result()


@dataclass(frozen=True)
class Dies:
    """By a signal, by a wild pointer, or by leaving. `once`: only if that file is not there."""

    how: str = "SIGKILL"
    once: str = ""

    def run(self, work: Any) -> Result:
        if self.once and Path(self.once).exists():
            return result()
        if self.once:
            Path(self.once).touch()
        if self.how == "wild":
            ctypes.string_at(0)
        if self.how == "exit":
            os._exit(3)
        if self.how == "quiet":
            sys.exit(0)
        os.kill(os.getpid(), signal.Signals[self.how])
        return result()


@dataclass(frozen=True)
class Stays:
    """Does not end: asleep, deaf to TERM with a child of its own, or deep in C.

    Writes its process ids into `file`.
    """

    how: str = "sleep"
    file: str = ""

    def run(self, work: Any) -> Result:
        pids = [os.getpid()]
        if self.how == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
            pids.append(subprocess.Popen([sys.executable, "-c", code]).pid)
        if self.file:
            scratch = Path(f"{self.file}.tmp")
            scratch.write_text(" ".join(map(str, pids)))
            scratch.rename(self.file)
        if self.how == "loop":
            sum(iter(int, 1))  # in C, without a look at signals
        time.sleep(600)
        return result()


@dataclass(frozen=True)
class Prints:
    def run(self, work: Any) -> Result:
        line = "x" * 1023 + "\n"
        for _ in range(5 * 1024):
            sys.stdout.write(line)
        return result()


@dataclass(frozen=True)
class Tells:
    """What its process was started with."""

    def run(self, work: Any) -> Result:
        import resource

        variables = ("NUMBA_NUM_THREADS", "PYTHONHASHSEED", "NUMPY_MADVISE_HUGEPAGE",
                     "NUMBA_CACHE_DIR", "SPARSEBENCH_LIFELINE")  # fmt: skip
        seen = {name: os.environ.get(name) for name in variables}
        seen["safe_path"] = sys.flags.safe_path
        seen["leads_session"] = os.getsid(0) == os.getpid()
        seen["data_limit"] = resource.getrlimit(resource.RLIMIT_DATA)[0]
        seen["cores"] = sorted(os.sched_getaffinity(0))
        seen["children"] = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        seen["parts"] = [type(work.model).__name__, work.pruning, work.data.outputs, work.seed]
        return Result(measures={}, layers=[seen], network=None)


@dataclass(frozen=True)
class Family:
    """Has `count` children: all on one block of `mib` MiB that the parent took, or each with a
    block of its own, shared with nobody but out of reach of a limit on data."""

    how: str = "one"
    count: int = 7
    mib: int = 96
    seconds: float = 1.5

    def run(self, work: Any) -> Result:
        block = written(self.mib) if self.how == "one" else None
        for _ in range(self.count):
            if os.fork() == 0:
                block = written(self.mib) if block is None else block
                sum(block[at] for at in range(0, self.mib * MIB, mmap.PAGESIZE))
                time.sleep(self.seconds)
                os._exit(0)
        for _ in range(self.count):
            os.wait()
        return result()


def written(mib: int) -> mmap.mmap:
    shared = mmap.mmap(-1, mib * MIB)
    for at in range(0, mib * MIB, mmap.PAGESIZE):
        shared[at] = 1
    return shared


@dataclass(frozen=True)
class Escapes:
    """Leaves an orphan with a session of its own, and with no environment if that is to be cleared.

    It writes its number into `file` and `lives` for some seconds. The trial ends, or stays.
    """

    file: str = ""
    cleared: bool = False
    stays: bool = False
    lives: float = 600.0

    def run(self, work: Any) -> Result:
        code = (
            "import os, sys, time\n"
            "if os.fork(): os._exit(0)\n"
            "os.setsid()\n"
            "open(sys.argv[1] + '.tmp', 'w').write(str(os.getpid()))\n"
            "os.rename(sys.argv[1] + '.tmp', sys.argv[1]); time.sleep(float(sys.argv[2]))"
        )
        words = [sys.executable, "-c", code, self.file, str(self.lives)]
        subprocess.run(words, check=True, env={} if self.cleared else None)
        while not Path(self.file).exists():
            time.sleep(0.01)
        time.sleep(600 if self.stays else 0)
        return result()


@dataclass(frozen=True)
class Spikes:
    """400 MiB for a tenth of a second; then it is killed, or ends."""

    mib: int = 400
    killed: bool = False

    def run(self, work: Any) -> Result:
        kept = touched(self.mib)
        time.sleep(0.1)
        del kept
        if self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return result()


@dataclass(frozen=True)
class Floods:
    """Prints 50 MB, then closes stdout and stderr."""

    def run(self, work: Any) -> Result:
        line = "x" * 999 + "\n"
        for _ in range(50_000):
            sys.stdout.write(line)
        sys.stdout.flush()
        for number in (1, 2):
            os.close(number)
        return result()


@dataclass(frozen=True)
class Offers:
    """Tells what the kernel is to think of its process."""

    def run(self, work: Any) -> Result:
        score = int(Path("/proc/self/oom_score_adj").read_text())
        marked = {name: name in os.environ for name in ("SPARSEBENCH_TRIAL", "SPARSEBENCH_CGROUP")}
        return Result(measures={}, layers=[{"oom_score_adj": score, **marked}], network=None)


TRAINERS = {
    "fine": Fine, "nan": Nan, "allocates": Allocates, "greedy": Greedy, "raises": Raises,
    "dies": Dies, "stays": Stays, "prints": Prints, "tells": Tells,
    "uncompilable": Uncompilable, "fills": Fills, "edits": Edits, "family": Family,
    "escapes": Escapes, "spikes": Spikes, "floods": Floods, "offers": Offers,
}  # fmt: skip


@hookimpl
def register_trainers(register: Any) -> None:
    for name, trainer in TRAINERS.items():
        register(name, trainer)


@hookimpl
def register_models(register: Any) -> None:
    register("odd", Odd)


@hookimpl
def register_topologies(register: Any) -> None:
    register("odd", Odd)


@hookimpl
def register_optimizers(register: Any) -> None:
    register("odd", Odd)


@hookimpl
def register_backends(register: Any) -> None:
    register("odd", Odd)
    register("absent", Odd, requires=("a_module_that_nobody_has",))
    register("compiled", Odd, requires=("numba",))


@hookimpl
def register_datasets(register: Any, data_dir: Path) -> None:
    register("odd", OddData)
