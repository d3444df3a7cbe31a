"""What a command line asks for: a suite, its plugins, and the chosen trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench.cli.config import trial_defaults
from sparsebench.core.trial import Trial
from sparsebench.errors import NothingMatched, SuiteError
from sparsebench.machine import data_directory
from sparsebench.registry import Plugins
from sparsebench.run.planning.sharding import parse_shard, shard_of
from sparsebench.suite.expand import expand
from sparsebench.suite.load import load_suite
from sparsebench.suite.overrides import parse_seeds, parse_setting
from sparsebench.suite.selection import select
from sparsebench.suite.suite import Suite
from sparsebench.units import seconds, size


@dataclass(frozen=True)
class Asked:
    suite: Suite
    plugins: Plugins
    trials: list[Trial]
    data_dir: Path


def ask(
    name: str,
    *,
    sets: Sequence[str] | None = None,
    seeds: str | None = None,
    quick: bool = False,
    expression: str | None = None,
    data: Path | None = None,
    threads: int | None = None,
    timeout: str | None = None,
    memory_limit: str | None = None,
    plugin_files: Sequence[Path] | None = None,
    allow_plugins: bool = False,
    shard: str | None = None,
) -> Asked:
    """The trials in question; NothingMatched where none is left."""
    part = parse_shard(shard) if shard is not None else None
    data_dir = data_directory(data)
    suite, plugins = load_suite(
        name, plugin_files=plugin_files or (), allow_plugins=allow_plugins, data_dir=data_dir
    )
    limits = {"threads": threads, "timeout": timeout, "memory_limit": memory_limit}
    _check_limits(timeout, memory_limit)
    settings: dict[str, Any] = {key: value for key, value in limits.items() if value is not None}
    settings.update(parse_setting(text) for text in sets or ())
    trials = expand(
        replace(suite, trial={**trial_defaults(), **suite.trial}),
        plugins,
        data_dir=data_dir,
        quick=quick,
        settings=settings,
        seeds=parse_seeds(seeds) if seeds is not None else None,
    )
    if not trials:
        raise NothingMatched(f"{suite.place}: every trial is excluded")
    if expression is not None:
        trials = select(trials, expression)
    if part is not None:
        count, trials = len(trials), shard_of(part, trials, plugins)
        if not trials:
            raise NothingMatched(f"shard {part} of {suite.place}: it has only {count} trials")
    return Asked(suite, plugins, trials, data_dir)


def _check_limits(timeout: str | None, memory_limit: str | None) -> None:
    for option, value, read in (
        ("--timeout", timeout, seconds),
        ("--memory-limit", memory_limit, size),
    ):
        try:
            if value is not None:
                read(value)
        except ValueError as error:
            raise SuiteError(f"{option}: {error}") from None
