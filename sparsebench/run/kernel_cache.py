"""What is compiled once, in a process of its own, before trials that need it are measured."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.core.job import Job
from sparsebench.core.trial import Trial, digest
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
            chosen.setdefault(_kernel_set(trial, plugins), trial)
    return list(chosen.values())


def _kernel_set(trial: Trial, plugins: Plugins) -> str:
    """Trials of one set run the same kernels with the same types."""
    parts = [without_magnitudes(getattr(trial, kind)) for kind in COMPILED]
    return digest([sources(trial, plugins)["kernels"], *parts], 8)


def _warms_up(trainer: Entry) -> bool:
    """One that is registered by name is not imported to be asked."""
    return isinstance(trainer.target, str) or hasattr(trainer.target, "warm_up")


def without_magnitudes(value: Any) -> Any:
    """Component data without magnitudes: names, structure, and what is nothing."""
    if isinstance(value, dict):
        return {key: without_magnitudes(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return []
    return value if isinstance(value, str) else bool(value)


def compile_job(job: Job, trials: Sequence[Trial] = ()) -> Job:
    """The job that only compiles what `trials` need, or the trial of `job`; without its limits."""
    free = replace(job.trial, timeout=PATIENCE, memory_limit=None)
    return replace(job, trial=free, compile_for=tuple(trials) or (free,))


def unlike(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Up to `most` trials that differ from each other in backend and in topology, so that
    processes that compile for one of them each have little in common."""
    found: list[Trial] = []
    for trial in trials:
        apart = all(
            trial.backend["name"] != other.backend["name"]
            and trial.topology["name"] != other.topology["name"]
            for other in found
        )
        if apart and len(found) < most:
            found.append(trial)
    return found


def groups(trials: Sequence[Trial], plugins: Plugins) -> list[tuple[list[Trial], Path]]:
    """Trials that one process can compile for, and its folder of compiled code: whose kernels of
    one folder of sources are the same, and whose number of threads is."""
    found: list[tuple[list[Trial], Shares]] = []
    for trial in trials:
        shares = kept_shares(trial, plugins)
        for group, together in found:
            agree = all(together.get(name, key) == key for name, key in shares.items())
            if agree and group[0].threads == trial.threads:
                group.append(trial)
                together |= shares
                break
        else:
            found.append(([trial], dict(shares)))
    return [(group, _linked(shares)) for group, shares in found]


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
    return _linked(kept_shares(trial, plugins))


def _linked(shares: Shares) -> Path:
    folder = _home() / digest(shares, 8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in shares.items():
        _shared(name, key).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(Path("..", *_shared(name, key).parts[-3:]))
    return folder


def is_compiled(trial: Trial, plugins: Plugins) -> bool:
    """Whether `mark_compiled` has noted it, and nothing was forgotten since."""
    marks = _marks(trial, plugins)
    return bool(marks) and all(mark.exists() for mark in marks)


def mark_compiled(trials: Sequence[Trial], plugins: Plugins) -> None:
    """Note that all kernels of these trials are compiled for this machine."""
    with contextlib.suppress(OSError):
        for trial in trials:
            for mark in _marks(trial, plugins):
                mark.touch()


def _marks(trial: Trial, plugins: Plugins) -> list[Path]:
    """A file beside the compiled code of each folder of sources."""
    name = digest([_kernel_set(trial, plugins), machine.describe()["id"]], 8)
    shares = kept_shares(trial, plugins)
    return [_shared(folder, key) / f"{name}.compiled" for folder, key in shares.items()]


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
    """The folder of all compiled code."""
    return _usable(machine.cache_directory() / "numba")


@functools.cache
def _usable(home: Path) -> Path:
    """A folder for compiled code, or one that goes with this process where that cannot be written,
    or where others could put code into it."""
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(home, os.W_OK | os.X_OK) and home.stat().st_uid in (0, os.geteuid()):
            return home
    scratch = Path(tempfile.mkdtemp(prefix="sparsebench-numba-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(scratch, ignore_errors=True)

    atexit.register(remove)
    return scratch


def unwritable_cache() -> str:
    """A line if compiled code cannot be kept for later runs, else nothing."""
    if _home().is_relative_to(machine.cache_directory()):
        return ""
    return (
        f"the cache folder {machine.cache_directory()} cannot be written, so every run compiles "
        "anew: set SPARSEBENCH_CACHE to a folder that can"
    )


def _shared(name: str, key: str) -> Path:
    return _home() / "shared" / key / name


def numba_name(folder: Path) -> str:
    """What numba calls its folder for the kernels in a folder of sources.

    (`get_suitable_cache_subpath` of numba 0.61 to 0.68.) Should another version call it otherwise,
    it makes a folder of its own beside the link, and nothing is shared.
    """
    path = os.path.abspath(folder)
    return f"{os.path.basename(path)}_{hashlib.sha1(path.encode()).hexdigest()}"
