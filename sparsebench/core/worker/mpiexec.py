"""Several processes for one trial, started together by mpiexec on this machine. Light."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

GET = 'pip install "sparsebench[mpi]"'

PROCESSES = "SPARSEBENCH_PROCESSES"
"""Environment variable with how many processes were asked for."""

HERE = {"HYDRA_LAUNCHER": "fork", "HYDRA_USE_LOCALHOST": "1"}
"""A trial has the processes of one machine, within a batch job on several too. Of MPICH."""

SHARING = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
"""For more processes than cores: who waits for a message gives its core away at once, and not
after a thousand looks. Of MPICH."""


def found() -> Path | None:
    """mpiexec beside this interpreter, which its MPI library came with, or on the PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    if os.access(beside, os.X_OK):
        return beside
    elsewhere = shutil.which("mpiexec")
    return Path(elsewhere) if elsewhere is not None else None


def missing() -> str:
    """What keeps a trial from having several processes here, and what gets it; else nothing."""
    needs = []
    if importlib.util.find_spec("mpi4py") is None:
        needs.append("mpi4py, not installed")
    if found() is None:
        needs.append("mpiexec, neither beside this Python nor on the PATH")
    return f"needs {' and '.join(needs)}; get it with: {GET}" if needs else ""


def command(count: int, program: Sequence[str]) -> list[str]:
    """`program` started `count` times; alone where there is no mpiexec: it will say so."""
    starter = found()
    if count == 1 or starter is None:
        return [*program]
    return [str(starter), "-n", str(count), *program]


def environment(count: int, *, crowded: bool) -> dict[str, str]:
    """crowded  there are fewer cores than threads of all processes"""
    return {PROCESSES: str(count), **HERE, **(SHARING if crowded else {})}
