"""Turns the options of the command line, of `sparsebench.run()` or of pytest into a RunRequest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.errors import NothingMatched, SparsebenchError, SuiteError
from sparsebench.registry import Plugins
from sparsebench.run import user_config
from sparsebench.run.options import Options
from sparsebench.run.sharding import parse_shard, shard_of
from sparsebench.suite.defaults import EXECUTOR
from sparsebench.suite.expand import expand, parse_seeds, parse_setting, without_numpy
from sparsebench.suite.selectors import select as selected
from sparsebench.suite.suite import Suite, load_suite
from sparsebench.units import seconds, size


@dataclass(frozen=True)
class RunRequest:
    """The chosen trials of a suite, and how to run them."""

    suite: Suite
    plugins: Plugins
    trials: list[Trial]
    options: Options


def resolve(
    suite: str | Path | Suite,
    *,
    settings: Mapping[str, Any] | str | Iterable[str] | None = None,
    seeds: str | int | Iterable[int] | None = None,
    quick: bool = False,
    select: str | None = None,
    shard: str | None = None,
    store: str | Path | None = None,
    data: str | Path | None = None,
    jobs: int | None = None,
    executor: str | None = None,
    address: str | None = None,
    threads: int | None = None,
    timeout: float | str | None = None,
    memory_limit: int | str | None = None,
    retries: int | None = None,
    plugins: str | Path | Iterable[str | Path] | None = None,
    allow_plugins: bool = False,
    **how: Any,
) -> RunRequest:
    """Choose the trials of a suite and the options to run them with.

    Arguments win over SPARSEBENCH_* variables, these over the suite, the suite over config.toml,
    and that over the defaults. Raises NothingMatched if no trial is left.

    suite     its name or file; or a suite without plugins of its own
    settings  path below [trial] -> value, or texts such as "epochs=3"
    seeds     numbers, one number, or a text such as "0:5"
    how       the other fields of `Options`
    """
    part = parse_shard(shard) if shard is not None else None
    data_dir = user_config.data_directory(data).resolve()
    files = [user_config.expanded(named(file, "a plugin")) for file in _listed(plugins)]
    if isinstance(suite, Suite):
        loaded, known = suite, load_plugins(files, data_dir)
    else:
        loaded, known = load_suite(
            named(suite, "a suite"),
            plugin_files=files,
            allow_plugins=allow_plugins,
            data_dir=data_dir,
        )
    chosen_seeds = _seeds(seeds)
    trials = expand(
        replace(loaded, trial={**user_config.trial_defaults(), **loaded.trial}),
        known,
        data_dir=data_dir,
        quick=quick,
        settings={
            **_limits(threads=threads, timeout=timeout, memory_limit=memory_limit),
            **({"retries": retries} if retries is not None else {}),
            **_settings(settings),
        },
        seeds=chosen_seeds,
    )
    if not trials:
        raise NothingMatched(f"{loaded.place}: every trial is excluded")
    if select is not None:
        trials = selected(trials, select)
    if part is not None:
        count, trials = len(trials), shard_of(part, trials, known)
        if not trials:
            raise NothingMatched(f"shard {part} of {loaded.place}: it has only {count} trials")
    jobs = user_config.setting("jobs", without_numpy(jobs))
    options = Options(
        store=user_config.store_directory(store),
        data_dir=data_dir,
        jobs=1 if jobs is None else jobs,
        executor=user_config.setting("executor", executor) or EXECUTOR,
        address=user_config.from_environment("address") if address is None else address,
        shard=str(part) if part is not None else None,
        **how,
    )
    known.entry("executor", options.executor)
    return RunRequest(loaded, known, trials, options)


def named(value: str | Path, what: str) -> str | Path:
    """The value; SparsebenchError if it is empty, since an empty path is the current directory."""
    if not str(value).strip() or (isinstance(value, Path) and not value.parts):
        raise SparsebenchError(f"expected {what}, found {str(value)!r}")
    return value


def _listed(values: Any) -> list[Any]:
    """A list of the values; one text or path makes a list of one."""
    return [values] if isinstance(values, str | Path) else list(values or ())


def _settings(settings: Any) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        return dict(parse_setting(text) for text in _listed(settings))
    return {path: without_numpy(value) for path, value in settings.items()}


def _seeds(seeds: Any) -> Sequence[int] | None:
    if seeds is None or isinstance(seeds, str):
        return parse_seeds(seeds) if seeds is not None else None
    plain = without_numpy(seeds)
    if isinstance(plain, int) and not isinstance(plain, bool):
        return [plain]
    if not isinstance(plain, Iterable):
        raise SuiteError(f"--seeds: expected numbers or a text such as '0:5', found {seeds!r}")
    return [without_numpy(seed) for seed in plain]


def _limits(**arguments: Any) -> dict[str, Any]:
    """The limits that an argument or a variable sets, checked."""
    found = {}
    for name, value in arguments.items():
        value = without_numpy(value) if value is not None else user_config.from_environment(name)
        if value is not None:
            try:
                {"timeout": seconds, "memory_limit": size}.get(name, int)(value)
            except ValueError as error:
                raise SuiteError(f"--{name.replace('_', '-')}: {error}") from None
            found[name] = value
    return found
