"""Hashes the code that a trial runs, so that results of other code are not reused.

Hashed are the core and, for each component of the trial, its registry entry and the modules that it
imports (see `import_closure`). Other plugins and the rest of sparsebench may change without effect.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparsebench.core.trial import PARTS, Trial, digest
from sparsebench.registry import Component, Entry, Plugins, nested_components
from sparsebench.run.import_closure import ImportGraph, Modules, digest_of, modules_of
from sparsebench.store.provenance import NUMERIC, commit_name, git_state, hash_of, versions

CHANGED = "changed while it ran"
"""The `code` in the fingerprint of a trial whose sources were edited while it ran. It is in place
of a hash and equals none, so the record is never reused."""


def fingerprint(trial: Trial, plugins: Plugins) -> dict[str, Any]:
    """The fingerprint of a trial: the hashes of `sources`, `versions` of numpy, scipy, numba and of
    the modules that its components require, and the `commit` of sparsebench."""
    return {
        **sources(trial, plugins),
        "versions": versions_of(trial, plugins),
        "commit": commit_name(git_state()),
    }


def versions_of(trial: Trial, plugins: Plugins) -> dict[str, str]:
    required = {module for entry in entries(trial, plugins) for module in entry.requires}
    return versions((*NUMERIC, *sorted(required - set(NUMERIC))))


def sources(trial: Trial, plugins: Plugins) -> dict[str, Any]:
    """Hashes of the sources of a trial.

    code       of the modules that compute its result
    kernels    of the modules with functions that numba compiles for it, and of their imports
    observers  of each observer by name; separate, because the result does not depend on them
    """
    found = _sources(plugins)
    return {
        "code": code_of(trial, plugins),
        "kernels": digest(sorted(kernel_keys(trial, plugins).values()), 16),
        "observers": {
            one["name"]: found.code(tuple(_entries("observer", one, plugins)))
            for one in trial.observers
        },
    }


def code_of(trial: Trial, plugins: Plugins, kinds: tuple[str, ...] = PARTS) -> str:
    """A hash of the core, the components' registry entries, and the modules that they import."""
    return _sources(plugins).code(tuple(dict.fromkeys(entries(trial, plugins, kinds))))


def kernel_keys(trial: Trial, plugins: Plugins) -> dict[Path, str]:
    """For each folder with modules whose functions numba compiles for the trial, a hash of these
    modules and of those that they import."""
    found = (*entries(trial, plugins), *observers(trial, plugins))
    return _sources(plugins).kernels(tuple(dict.fromkeys(found)))


class _Sources:
    """Hashes of the sources as they are now, each computed once for all trials that share it."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self._graph = ImportGraph(plugins)
        self._core = digest(digest_of(self._graph.core), 16)
        self.code = functools.cache(self._code)
        self.kernels = functools.cache(self._kernels)
        self._closure = functools.cache(lambda entry: self._graph.closure(modules_of(entry)))

    def _modules(self, found: tuple[Entry, ...]) -> Modules:
        return {name: file for entry in found for name, file in self._closure(entry).items()}

    def _code(self, found: tuple[Entry, ...]) -> str:
        registered = sorted(
            [entry.kind, entry.name, _written(entry.target), _written(entry.params)]
            for entry in found
        )
        return digest([self._core, registered, digest_of(self._modules(found))], 16)

    def _kernels(self, found: tuple[Entry, ...]) -> dict[Path, str]:
        """A hash per folder of sources, as in `kernel_keys`, because numba caches by folder."""
        modules = self._graph.core | self._modules(found)
        folders: dict[Path, list[str]] = {}
        for name in self._graph.compiling(modules):
            folders.setdefault(modules[name].parent, []).append(name)
        return {
            folder: digest(digest_of(self._graph.reach(names, modules)), 16)
            for folder, names in folders.items()
        }


def _written(target: type | str | None) -> str | None:
    return f"{target.__module__}:{target.__qualname__}" if isinstance(target, type) else target


_LATEST: list[_Sources] = []
"""Cache of one entry: the hashes for the plugins of the last call."""


def _sources(plugins: Plugins) -> _Sources:
    if not _LATEST or _LATEST[0].plugins is not plugins:
        _LATEST[:] = [_Sources(plugins)]
    return _LATEST[0]


def forget_sources() -> None:
    """Drop all cached hashes, so that files edited meanwhile are read again."""
    _LATEST.clear()
    hash_of.cache_clear()
    git_state.cache_clear()


def agrees(recorded: dict[str, Any], today: dict[str, Any]) -> bool:
    """Whether a recorded fingerprint matches the current one.

    The commit is ignored, because it can change without the code and vice versa; so are recorded
    observers that are no longer requested.
    """
    observers = today.get("observers", {})
    return all(recorded.get(key) == today[key] for key in ("code", "versions")) and (
        observers.items() <= recorded.get("observers", {}).items()
    )


def entries(trial: Trial, plugins: Plugins, kinds: tuple[str, ...] = PARTS) -> Iterator[Entry]:
    """The registry entries of a trial's components, nested ones too."""
    for kind in kinds:
        yield from _entries(kind, getattr(trial, kind), plugins)


def observers(trial: Trial, plugins: Plugins) -> list[Entry]:
    return [plugins.entry("observer", one["name"]) for one in trial.observers]


def _entries(kind: str, component: Component, plugins: Plugins) -> Iterator[Entry]:
    entry = plugins.entry(kind, component["name"])
    yield entry
    for _, nested, found in nested_components(entry.parameters(), component):
        yield from _entries(nested, found, plugins)
    if kind == "topology" and component.get("prune"):
        yield from _entries("pruning", component["prune"], plugins)
