"""What code a trial runs, so that numbers of edited code are not taken for today's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sparsebench
from sparsebench.core.trial import PARTS, Trial, digest
from sparsebench.registry import Component, Entry, Plugins, nested_kinds
from sparsebench.store.provenance import NUMERIC, commit_name, git_state, hash_of, versions

COMPILED = ("backend", "model", "optimizer", "topology", "trainer")
"""The components of a trial whose code, or what they call of ours, is compiled."""

CHANGED = "changed while it ran"
"""The `code` of a trial of which nobody can say what it ran; agrees with nothing."""


def fingerprint(trial: Trial, plugins: Plugins) -> dict[str, Any]:
    """`sources`, `versions` of numpy, scipy, numba and what its components require, `commit`."""
    required = {module for entry in entries(trial, plugins) for module in entry.requires}
    return {
        **sources(trial, plugins),
        "versions": versions((*NUMERIC, *sorted(required - set(NUMERIC)))),
        "commit": commit_name(git_state()),
    }


def sources(trial: Trial, plugins: Plugins) -> dict[str, str]:
    """`code`: hash of the sources a trial runs; `kernels`: of those it may compile.

    They are sparsebench's and those of the plugins that bring its components.
    """
    return {
        "code": _hash(entries(trial, plugins), plugins),
        "kernels": _hash(entries(trial, plugins, COMPILED), plugins),
    }


def forget_sources() -> None:
    """Look at the files again: people edit while trials run."""
    hash_of.cache_clear()
    git_state.cache_clear()


def agrees(recorded: dict[str, Any], today: dict[str, Any]) -> bool:
    """The commit does not count: it may change without the code, and the other way round."""
    return all(recorded.get(key) == today[key] for key in ("code", "versions"))


def entries(trial: Trial, plugins: Plugins, kinds: tuple[str, ...] = PARTS) -> Iterator[Entry]:
    """The registry entries of a trial's components, nested ones too."""
    for kind in kinds:
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


def _hash(found: Iterable[Entry], plugins: Plugins) -> str:
    """Of the sources of sparsebench and of what brings these entries."""
    homes = {home for entry in found if (home := _home(entry, plugins))}
    package = Path(sparsebench.__file__).parent
    ours = [hash_of(package / "core"), hash_of(package / "seeds.py")]
    return digest([*ours, *(hash_of(home) for home in sorted(homes))], 16)
