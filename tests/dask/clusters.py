"""A Dask cluster of real processes on the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = 200.0
"""Seconds; kernels may have to be compiled first, on a machine with other things to do."""

HERE = Path(__file__).parent
FILES = (HERE.parent / "run" / "odd_components.py", HERE / "patient_components.py")
"""Plugins that travel to the workers."""


class Cluster:
    """A scheduler, and workers of one core each, as a user starts them by hand."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--dashboard-address", "127.0.0.1:0", "--no-show",
            "--scheduler-file", str(self.file),
        )  # fmt: skip
        self.address = ""
        self.workers: list[subprocess.Popen[bytes]] = []
        try:
            wait_for(self._has_address)
        except BaseException:
            self.close()
            raise
        self.workers += [self.add_worker(f"worker-{n}") for n in range(1, workers + 1)]

    def _has_address(self) -> bool:
        """The file is there before it is whole."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            self.address = str(json.loads(self.file.read_text())["address"])
        return bool(self.address)

    def add_worker(self, name: str) -> subprocess.Popen[bytes]:
        return self._start(
            "worker", self.address, "--host", "127.0.0.1", "--name", name, "--nworkers", "1",
            "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder / name),
            "--resources", "cores=1,memory=4e9",
        )  # fmt: skip

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.terminate()
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            process.wait()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip


@contextlib.contextmanager
def running(folder: Path, workers: int) -> Iterator[Cluster]:
    cluster = Cluster(folder, workers)
    try:
        yield cluster
    finally:
        cluster.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    """Whether the process lives; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def worker_of(pid: int) -> int:
    """The Dask worker that runs the trial with this process: above the trial's host."""
    return _parent_of(_parent_of(pid))


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
