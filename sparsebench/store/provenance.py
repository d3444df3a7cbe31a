"""Describes where a run came from: versions, sources, plugins, data. Home folder, user and host
name are left out, except by `identity`."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsebench.core.trial import Trial, canonical
from sparsebench.registry import Plugins
from sparsebench.store.record import Record

NUMERIC = ("numpy", "scipy", "numba")
"""The packages whose versions affect what a trial computes."""

RECORDED = (
    "sparsebench", *NUMERIC, "llvmlite", "scikit-learn", "pandas", "threadpoolctl", "typer",
    "pydantic",
)  # fmt: skip


def versions(names: tuple[str, ...] = RECORDED) -> dict[str, str]:
    """The versions of these packages, without those that are not installed. Imports none."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def impersonal(text: str) -> str:
    """Text with `~` for the user's home, and without the user's name in paths and the host's
    name."""
    with contextlib.suppress(RuntimeError):  # a user without a home folder
        home = str(Path.home())
        text = text if home == "/" else text.replace(home, "~")
    for name in (os.environ.get("USER"), os.environ.get("LOGNAME")):
        if name:
            text = re.sub(rf"(?<=/){re.escape(name)}(?![\w.-])", "<user>", text)
    host = platform.node()
    if len(host) > 3 and host != "localhost":  # `vm` names nobody, and is a word
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "<host>", text)
    return text


@functools.cache
def git_state() -> dict[str, Any]:
    """Commit of the sparsebench sources and whether they are modified; empty outside git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"commit": commit, "dirty": _git(root, "status", "--porcelain") != ""}


def commit_name(state: Mapping[str, Any]) -> str:
    """The commit of a git state, with `+` if modified; empty if unknown."""
    return f"{state['commit']}{'+' if state['dirty'] else ''}" if state else ""


@functools.cache
def hash_of(home: Path) -> str:
    """A hash of the .py files below a folder, or of one file: of names and contents, wherever the
    folder is."""
    total = hashlib.blake2b(digest_size=16)
    for file in [home] if home.is_file() else sorted(home.rglob("*.py")):
        inside = file.relative_to(home) if file != home else Path(file.name)
        content = ""  # of a file that is gone by now
        with contextlib.suppress(OSError):
            content = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
        total.update(f"{inside.as_posix()} {content}\n".encode())
    return total.hexdigest()


def plugin_list(plugins: Plugins) -> list[dict[str, str]]:
    """Name, origin, version and source hash of every plugin, and its error if it failed to load.
    The origin of a plugin file is its name without the folder."""
    return [
        {
            "name": info.name,
            "origin": Path(info.origin).name,
            "version": info.version,
            **({"source": hash_of(info.path)} if info.path is not None else {}),
            **({"error": impersonal(info.error)} if info.error else {}),
        }
        for info in plugins.infos
    ]


def interpreter() -> dict[str, Any]:
    """The Python interpreter; `flags` are those of `sys.flags` that are above 0."""
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if name[0] != "_"}
    raised = {n: int(v) for n, v in flags.items() if isinstance(v, int) and v > 0 and n[:2] != "n_"}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "flags": raised,
    }


def identity() -> dict[str, str]:
    """The name of the host, and that of the machine if SPARSEBENCH_MACHINE gives one. Recorded only
    with --identify."""
    named = os.environ.get("SPARSEBENCH_MACHINE")
    return {"host": platform.node(), **({"machine": named} if named else {})}


def data_list(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """Each data set of these trials once: name, parameters, and checksum or recipe."""
    return _distinct(
        {
            k: impersonal(v) if isinstance(v, str) else v
            for k, v in (trial.dataset | trial.data).items()
        }
        for trial in trials
    )


def pools(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Each undamaged thread pool of these records once: library, version, threads."""
    listed = [record.settings.get("blas") for record in records]
    return _distinct(
        dict(pool)
        for one in listed if isinstance(one, list)
        for pool in one if isinstance(pool, Mapping)
    )  # fmt: skip


def _distinct(tables: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({canonical(table): table for table in tables}.values())


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
