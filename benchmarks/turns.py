"""Backends that take turns, each in a process of its own, so that a noisy minute hits all alike.

A process answers every line on its stdin with the median seconds of one turn. BLAS threads go
on spinning after a product, so backends in one process would take the cores from each other.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from sparsebench.core.worker.denormals import flush_to_zero

TURN_SECONDS = 0.4


def component(text: str) -> dict[str, Any]:
    """`numba-csr` or `numba-csr:activations=bfloat16` as a suite's table."""
    name, _, given = text.partition(":")
    return {"name": name, **dict(pair.split("=") for pair in given.split(",") if pair)}


def serve(step: Callable[[], None]) -> None:
    """Answer every line on stdin with the seconds of a step, the median of a turn."""
    flush_to_zero()
    for _ in sys.stdin:
        times = [time.perf_counter()]
        while len(times) < 3 or times[-1] - times[0] < TURN_SECONDS:
            step()
            times.append(time.perf_counter())
        print(json.dumps(statistics.median(b - a for a, b in pairwise(times))), flush=True)


def parted(backend: str) -> tuple[str, str]:
    """`numba-csr@/some/checkout` as the backend and the checkout it is to come from."""
    name, _, checkout = backend.partition("@")
    return name, checkout


class Worker:
    """A process that serves one backend: this script again, with `--serve`. Behind an @ stands
    another checkout of this project whose code it is to run."""

    def __init__(self, script: str, backend: str, threads: int, arguments: Sequence[str]) -> None:
        names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        limits = {f"{name}_NUM_THREADS": str(threads) for name in names}
        name, checkout = parted(backend)
        path = {"PYTHONPATH": f"{checkout}:{checkout}/plugins"} if checkout else {}
        self._process = subprocess.Popen(
            [sys.executable, script, *arguments, "--serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits, **path},
        )

    def turn(self) -> float:
        """Median seconds per step."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("go\n")
        stdin.flush()
        seconds: float = json.loads(stdout.readline())
        return seconds

    def close(self) -> None:
        self._process.communicate()


def compare(
    script: str, backends: Sequence[str], threads: int, rounds: int, more: Sequence[str] = ()
) -> None:
    """Let them take turns and print each one's median, and its ratio to the first turn by turn."""
    arguments = [*sys.argv[1:], *more]
    workers = {name: Worker(script, name, threads, arguments) for name in backends}
    times: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(rounds + 1):
        for name, worker in workers.items():
            seconds = worker.turn()
            if turn > 0:  # the first turn compiles and touches memory
                times[name].append(seconds)
    for worker in workers.values():
        worker.close()
    width = max(map(len, times))
    for name, measured in times.items():
        ratios = [b / a for a, b in zip(times[backends[0]], measured, strict=True)]
        print(
            f"{name:{width}s} {1e3 * statistics.median(measured):10.3f} ms per step, "
            f"{statistics.median(ratios):6.2f} x {backends[0]} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )
