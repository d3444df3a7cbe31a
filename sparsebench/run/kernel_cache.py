"""What is compiled once, in a process of its own, before trials that need it are measured."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench.core.job import Job
from sparsebench.core.trial import Trial, canonical, digest
from sparsebench.machine import cache_directory
from sparsebench.registry import Entry, Plugins
from sparsebench.run.fingerprint import COMPILED, sources

PATIENCE = 900.0
"""Seconds that a compilation may take."""


def representatives(trials: Sequence[Trial], plugins: Plugins) -> list[Trial]:
    """One trial for each set of kernels and folder they are kept in.

    Whatever the backend: drawing and rewiring connections is compiled too. A trainer that
    does not warm up leaves nothing to compile ahead.
    """
    chosen: dict[str, Trial] = {}
    for trial in trials:
        if _warms_up(plugins.entry("trainer", trial.trainer["name"])):
            parts = [skeleton(getattr(trial, kind)) for kind in COMPILED]
            kernels = sources(trial, plugins)["kernels"]
            chosen.setdefault(canonical([kernels, *parts]), trial)
    return list(chosen.values())


def _warms_up(trainer: Entry) -> bool:
    """One that is registered by name is not imported to be asked."""
    return isinstance(trainer.target, str) or hasattr(trainer.target, "warm_up")


def skeleton(value: Any) -> Any:
    """Component data without magnitudes: names, structure, and what is nothing."""
    if isinstance(value, dict):
        return {key: skeleton(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return []
    return value if isinstance(value, str) else bool(value)


def compile_job(job: Job) -> Job:
    """The job that only compiles what `job` needs; without its limits."""
    free = replace(job.trial, timeout=PATIENCE, memory_limit=None)
    return replace(job, trial=free, compile_only=True)


def compiled_code(fingerprint: dict[str, Any]) -> Path:
    """Where kernels of these sources and versions are kept."""
    decisive = {key: fingerprint[key] for key in ("kernels", "versions")}
    return cache_directory() / "numba" / digest(decisive, 8)


def forget_compiled(fingerprint: dict[str, Any]) -> None:
    """Kernels of sources that changed meanwhile must not be found under the old ones' name."""
    shutil.rmtree(compiled_code(fingerprint), ignore_errors=True)
