"""Caches compiled kernels: which trials share them, and when they are deleted.

numba notices when a function's file changes, but not when a function that it calls in another file
does. So compiled code is cached under a hash of both.
"""

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
from sparsebench.core.sizes import all_small
from sparsebench.core.trial import Trial, digest
from sparsebench.folders import cache_directory
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import (
    CHANGED,
    fingerprint,
    forget_sources,
    kernel_keys,
    sources,
    versions_of,
)
from sparsebench.run.trial_sizes import declared_sizes

COMPILED = ("backend", "model", "optimizer", "topology", "trainer")
"""Kinds of components whose code, or the core's code that they call, is compiled."""

PATIENCE = 900.0
"""Seconds that a compilation may take."""

# --- which trials compile the same ---------------------------------------------------


def representatives(trials: Sequence[Trial], plugins: Plugins) -> list[Trial]:
    """One trial for each set of kernels.

    Backends without compiled kernels count too, because drawing and changing connections is
    compiled for every backend. Trials whose trainer has no `warm_up` are left out, as they need no
    compilation; a trainer that is registered by name is not imported to find out, and counts.
    """
    chosen: dict[str, Trial] = {}
    for trial in trials:
        trainer = plugins.entry("trainer", trial.trainer["name"]).target
        if isinstance(trainer, str) or hasattr(trainer, "warm_up"):
            chosen.setdefault(_kernel_set(trial, plugins), trial)
    return list(chosen.values())


def _kernel_set(trial: Trial, plugins: Plugins) -> str:
    """A key that is equal for trials which run the same kernels with the same types."""
    parts = [without_magnitudes(getattr(trial, kind)) for kind in COMPILED]
    known = declared_sizes(trial, plugins)
    is_small = known is not None and all_small(known.layers)
    return digest([sources(trial, plugins)["kernels"], is_small, *parts], 8)


def without_magnitudes(value: Any) -> Any:
    """A component as data in which numbers, switches and None are replaced by whether they are
    true, and lists by an empty list. Texts and keys stay."""
    if isinstance(value, dict):
        return {key: without_magnitudes(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return []
    return value if isinstance(value, str) else bool(value)


def compile_job(job: Job, trials: Sequence[Trial] = ()) -> Job:
    """A job, without limits, that only compiles what `trials` need; by default the trial of
    `job`."""
    free = replace(job.trial, timeout=PATIENCE, memory_limit=None)
    return replace(job, trial=free, compile_for=tuple(trials) or (free,))


def most_different(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Up to `most` trials of which no two have the same backend or the same topology, so that
    processes that compile for them at the same time compile mostly different kernels."""
    found: list[Trial] = []
    for trial in trials:
        names = (trial.backend["name"], trial.topology["name"])
        apart = all(
            names[0] != other.backend["name"] and names[1] != other.topology["name"]
            for other in found
        )
        if apart and len(found) < most:
            found.append(trial)
    return found


def groups(trials: Sequence[Trial], plugins: Plugins) -> list[tuple[list[Trial], Path]]:
    """Groups of trials that one process can compile for, each with its cache folder.

    Trials of a group have equal kernels in each folder of sources, and equal numbers of threads.
    """
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


# --- where compiled code is cached ---------------------------------------------------

Shares = dict[str, str]
"""numba's name for a folder of sources -> hash of everything that its compiled code depends on."""


def cache_folder(trial: Trial, plugins: Plugins) -> Path:
    """The cache folder for the process of a trial; created if missing.

    numba keeps a subfolder for each folder of sources. Here these are links to places that all
    processes with the same kernels share, so a trial with one more kernel compiles only that
    kernel.
    """
    return _linked(kept_shares(trial, plugins))


def kept_shares(trial: Trial, plugins: Plugins) -> Shares:
    """The shared cache folders of this trial, as {numba's name: hash}."""
    versions = versions_of(trial, plugins)
    keys = kernel_keys(trial, plugins).items()
    return {numba_name(folder): digest([key, versions], 8) for folder, key in keys}


def _linked(shares: Shares) -> Path:
    folder = _home() / digest(shares, 8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in shares.items():
        _shared(name, key).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(Path("..", *_shared(name, key).parts[-3:]))
    return folder


def _shared(name: str, key: str) -> Path:
    return _home() / "shared" / key / name


def numba_name(folder: Path) -> str:
    """numba's name for its subfolder with the kernels of a folder of sources.

    This copies `get_suitable_cache_subpath` of numba 0.61 to 0.68. If another version names it
    differently, numba makes its own folder beside the link and nothing is shared.
    """
    path = os.path.abspath(folder)
    return f"{os.path.basename(path)}_{hashlib.sha1(path.encode()).hexdigest()}"


def is_compiled(trial: Trial, plugins: Plugins) -> bool:
    """Whether `mark_compiled` was called for the trial and its compiled code still exists."""
    marks = _marks(trial, plugins)
    return bool(marks) and all(mark.exists() for mark in marks)


def mark_compiled(trials: Sequence[Trial], plugins: Plugins) -> None:
    """Note that all kernels of these trials are compiled for this machine."""
    with contextlib.suppress(OSError):
        for trial in trials:
            for mark in _marks(trial, plugins):
                mark.touch()


def _marks(trial: Trial, plugins: Plugins) -> list[Path]:
    """The file that marks each folder of sources of a trial as compiled."""
    name = digest([_kernel_set(trial, plugins), machine.describe()["id"]], 8)
    shares = kept_shares(trial, plugins)
    return [_shared(folder, key) / f"{name}.compiled" for folder, key in shares.items()]


def forget_compiled(shares: Iterable[tuple[str, str]]) -> None:
    """Delete compiled code, but not the folders, which others may link to."""
    for name, key in shares:
        for file in _shared(name, key).glob("*"):
            with contextlib.suppress(OSError):
                file.unlink()


def _home() -> Path:
    return _usable(cache_directory() / "numba")


@functools.cache
def _usable(home: Path) -> Path:
    """The folder; or a temporary one of this process if the folder cannot be written, or if other
    users could put code into it."""
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(home, os.W_OK | os.X_OK) and home.stat().st_uid in (0, os.geteuid()):
            return home
    scratch, owner = Path(tempfile.mkdtemp(prefix="sparsebench-numba-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(scratch, ignore_errors=True)

    atexit.register(remove)
    return scratch


def unwritable_cache() -> str:
    """A message for the user if compiled code cannot be cached, else empty."""
    if _home().is_relative_to(cache_directory()):
        return ""
    return (
        f"the cache folder {cache_directory()} cannot be written, so every run compiles "
        "anew: set SPARSEBENCH_CACHE to a folder that can"
    )


class Fingerprints:
    """The code that each trial of a run began with, and whether it was edited while it ran."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._at_start: dict[str, dict[str, Any]] = {}
        self._shares: dict[str, Shares] = {}

    def of(self, trial: Trial) -> dict[str, Any]:
        """The fingerprint that was last taken of a trial; empty if none was."""
        return self._at_start.get(trial.id, {})

    def take(self, trial: Trial, *, anew: bool = False) -> dict[str, Any]:
        """Take a fingerprint of the sources as last read. With `anew`, read them again, as a
        process that starts now will."""
        if anew:
            forget_sources()
        self._at_start[trial.id] = fingerprint(trial, self._plugins)
        self._shares[trial.id] = kept_shares(trial, self._plugins)
        return self._at_start[trial.id]

    def after_run(self, trial: Trial, others: Iterable[Trial] = ()) -> dict[str, Any]:
        """The fingerprint of what a process has run: the one it began with, if the sources are
        unchanged.

        If they were edited, `code` is CHANGED: the process may have imported either version and
        cached compiled code under the old hash. That code is deleted, unless `others`, which are
        running, use it.
        """
        at_start = self._at_start[trial.id]
        forget_sources()
        now = sources(trial, self._plugins)
        if all(now.get(key) == at_start.get(key) for key in ("code", "observers")):
            return at_start
        in_use = {share for other in others for share in self._shares[other.id].items()}
        unchanged = kept_shares(trial, self._plugins).items()
        forget_compiled(self._shares[trial.id].items() - unchanged - in_use)
        return {**at_start, "code": CHANGED}
