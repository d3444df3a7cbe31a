"""What is compiled once, in a process of its own, before trials that need it are measured."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench.core.job import Job
from sparsebench.core.trial import Trial, canonical, digest
from sparsebench.machine import cache_directory
from sparsebench.registry import Entry, Plugins
from sparsebench.run.fingerprint import COMPILED, kernel_keys, sources, versions_of

PATIENCE = 900.0
"""Seconds that a compilation may take."""


def representatives(trials: Sequence[Trial], plugins: Plugins) -> list[Trial]:
    """One trial for each set of kernels and folder they are kept in.

    Whatever the backend: drawing and changing connections is compiled too. A trainer that
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


# --- where compiled code is kept -----------------------------------------------------

Shares = dict[str, str]
"""Name of numba's folder for a folder of sources -> what its compiled code depends on."""


def compiled_code(trial: Trial, plugins: Plugins) -> Path:
    """The folder of compiled code for the process of a trial, made if it is not there.

    numba notices when the file of a function changes, but not when one that it calls in another
    file does, so code is kept under a hash of both. A process has one such folder, and in it numba
    keeps a folder for each folder of sources: those are links to places that all processes share
    whose kernels there are the same. So a trial with one more kernel, of a plugin, compiles that
    kernel and finds the rest.
    """
    shares = kept_shares(trial, plugins)
    folder = _home() / digest(shares, 8)
    # a cache that cannot be written costs time, and numba says what it does instead
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for name, key in shares.items():
            _shared(name, key).mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (folder / name).symlink_to(Path("..", *_shared(name, key).parts[-3:]))
    return folder


def kept_shares(trial: Trial, plugins: Plugins) -> Shares:
    """The shared places of compiled code that the process of a trial uses."""
    versions = versions_of(trial, plugins)
    keys = kernel_keys(trial, plugins).items()
    return {numba_name(folder): digest([key, versions], 8) for folder, key in keys}


def forget_compiled(shares: Iterable[tuple[str, str]]) -> None:
    """Compiled code of sources that changed meanwhile must not be found under the old ones' name.

    The folders stay, as others may have links to them.
    """
    for name, key in shares:
        for file in _shared(name, key).glob("*"):
            with contextlib.suppress(OSError):
                file.unlink()


def _home() -> Path:
    return cache_directory() / "numba"


def _shared(name: str, key: str) -> Path:
    return _home() / "shared" / key / name


def numba_name(folder: Path) -> str:
    """What numba calls its folder for the kernels in a folder of sources.

    (`get_suitable_cache_subpath` of numba 0.61 to 0.68.) Should another version call it otherwise,
    it makes a folder of its own beside the link, and nothing is shared.
    """
    path = os.path.abspath(folder)
    return f"{os.path.basename(path)}_{hashlib.sha1(path.encode()).hexdigest()}"
