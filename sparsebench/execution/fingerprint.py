"""What code a trial runs, so that numbers of edited code are not taken for today's."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sparsebench
from sparsebench.records.provenance import NUMERIC, commit_name, git_state, versions
from sparsebench.registry import Component, Entry, Plugins, nested_kinds
from sparsebench.suite.trial import PARTS, Trial, digest

NOT_RUN = ("cli", "reporting")
"""Folders of sparsebench that no trial runs."""


def fingerprint(trial: Trial, plugins: Plugins) -> dict[str, Any]:
    """`code`: hash of the sources a trial runs; `versions` of numpy, scipy and numba; `commit`.

    The sources are sparsebench's and those of every plugin that brings a component.
    """
    homes = {home for entry in entries(trial, plugins) if (home := _home(entry, plugins))}
    sources = [_sources_of_sparsebench(), *(hash_of(home) for home in sorted(homes))]
    return {
        "code": digest(sources, 16),
        "versions": versions(NUMERIC),
        "commit": commit_name(),
    }


def forget_sources() -> None:
    """Look at the files again: a notebook may run, edit and run."""
    hash_of.cache_clear()
    _sources_of_sparsebench.cache_clear()
    git_state.cache_clear()


def agrees(recorded: dict[str, Any], today: dict[str, Any]) -> bool:
    """The commit does not count: it may change without the code, and the other way round."""
    return all(recorded.get(key) == today[key] for key in ("code", "versions"))


def entries(trial: Trial, plugins: Plugins) -> Iterator[Entry]:
    """The registry entries of a trial's components, nested ones too."""
    for kind in PARTS:
        yield from _entries(kind, getattr(trial, kind), plugins)


def _entries(kind: str, component: Component, plugins: Plugins) -> Iterator[Entry]:
    entry = plugins.entry(kind, component["name"])
    yield entry
    nested = nested_kinds(entry.parameters())
    if kind == "topology":
        nested = {"prune": "pruning", **nested}
    for key, nested_kind in nested.items():
        if component.get(key):
            yield from _entries(nested_kind, component[key], plugins)


def _home(entry: Entry, plugins: Plugins) -> Path | None:
    return next(
        (info.path for info in plugins.infos if f"{info.name} ({info.origin})" == entry.owner),
        None,
    )


@functools.cache
def _sources_of_sparsebench() -> str:
    return hash_of(Path(sparsebench.__file__).parent, NOT_RUN)


@functools.cache
def hash_of(home: Path, left_out: tuple[str, ...] = ()) -> str:
    """Of the .py files below a folder, or of one file; names and contents, not places."""
    total = hashlib.blake2b(digest_size=16)
    for file in [home] if home.is_file() else sorted(home.rglob("*.py")):
        inside = file.relative_to(home) if file != home else Path(file.name)
        if inside.parts[0] not in left_out:
            content = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
            total.update(f"{inside.as_posix()} {content}\n".encode())
    return total.hexdigest()
