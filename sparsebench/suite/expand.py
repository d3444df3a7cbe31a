"""From a suite to its trials: the grid multiplied out, every component validated.

What decides a value, weakest first: the defaults, [trial], a whole component of [[case]] or
[grid], one parameter of these, [quick], and `settings` (--set and the like).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench.core.trial import Trial
from sparsebench.errors import SuiteError
from sparsebench.metrics import in_force
from sparsebench.registry import Plugins
from sparsebench.suite.build import Builder, Raw
from sparsebench.suite.check_selectors import check_metrics, check_where
from sparsebench.suite.labels import axis_words, label
from sparsebench.suite.overrides import without_numpy
from sparsebench.suite.suite import Exclude, Suite, check_axis
from sparsebench.suite.trial_values import TRIAL_KEYS
from sparsebench.suite.where import check_key, matches
from sparsebench.validation import check_plain, quoted

MOST_TRIALS = 50_000
"""Of a grid. More is a mistake, or an attempt to fill the memory: refused before it is expanded."""


def expand(
    suite: Suite,
    plugins: Plugins,
    *,
    data_dir: Path,
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Trial]:
    """The trials of a suite: case by case, in the grid's order, the last axis fastest.

    quick     apply the suite's [quick]
    settings  path below [trial] -> value; removes that axis of the grid and those below it, and
              those keys from the cases
    seeds     the values of the seed axis

    That each exclude, expect and claim matches a trial is judged on the suite as written, so
    not if any of the three is given.
    """
    settings = {path: without_numpy(value) for path, value in (settings or {}).items()}
    seeds = without_numpy(list(seeds)) if seeds is not None else None
    try:
        plan = _plan(suite, quick, settings, seeds)
        every = list(_trials(plan, Builder(suite, plugins, data_dir)))
        kept = [t for t in every if not any(_excluded(t, e) for e in suite.excludes)]
        if not (quick or settings or seeds is not None):
            check_where(suite, every, kept)
        if suite.claims:
            check_metrics(suite, in_force(plugins, kept))
        _check_unique(kept)
    except (SuiteError, ValueError) as error:
        raise SuiteError(f"{suite.place}: {error}") from None
    return kept


@dataclass(frozen=True)
class _Plan:
    """What to multiply out. `places` says where an overriding value was given."""

    trial: Raw
    cases: list[Raw]
    grid: dict[str, list[Any]]
    overrides: Raw
    places: dict[str, str]


def _plan(
    suite: Suite, quick: bool, settings: Mapping[str, Any], seeds: Sequence[int] | None
) -> _Plan:
    grid, cases = dict(suite.grid), [dict(case) for case in suite.cases]
    overrides: Raw = {}
    places: dict[str, str] = {}

    def override(path: str, value: Any, place: str) -> None:
        _leave_out(path, grid, overrides, *cases)
        overrides[path] = value
        places[path] = place

    for key, value in suite.quick.items() if quick else ():
        if isinstance(value, list) and (key in suite.grid or key == "seed"):
            check_axis(value, f"quick.{quoted(key)}")
            _leave_out(key, *cases)
            grid[key] = value
        else:
            override(key, value, f"quick.{quoted(key)}")
    if seeds is not None:
        check_axis(list(seeds), "--seeds")
        _leave_out("seed", overrides, *cases)
        grid["seed"] = list(seeds)
    for path, value in settings.items():
        place = f"--set {path}"
        if path == "seed" and seeds is not None:
            raise SuiteError(f"{place}: --seeds is given too")
        try:
            check_key(path, TRIAL_KEYS)
        except SuiteError as error:
            raise SuiteError(f"{place}: {error}") from None
        check_plain(value, place)
        override(path, value, place)
    cases = [case for index, case in enumerate(cases) if case not in cases[:index]]
    _check_size({**grid, **({"case": cases} if cases else {})})
    return _Plan(suite.trial, cases, grid, overrides, places)


def _check_size(grid: Mapping[str, Sequence[Any]]) -> None:
    count = math.prod(len(values) for values in grid.values())
    if count > MOST_TRIALS:
        factors = " x ".join(str(len(values)) for values in grid.values() if len(values) > 1)
        shown = f"{count:,}" if count < 10**15 else f"about 10^{len(str(count)) - 1}"
        raise SuiteError(
            f"grid: {factors if len(factors) < 80 else f'{len(grid)} axes'} asks for {shown} "
            f"trials, excluded ones included; at most {MOST_TRIALS:,}: split it into several suites"
        )


def _leave_out(path: str, *given: Raw) -> None:
    """Remove the keys at `path` and below it, which another source overrides."""
    for values in given:
        for key in [key for key in values if key == path or key.startswith(path + ".")]:
            del values[key]


def _trials(plan: _Plan, builder: Builder) -> Iterator[Trial]:
    """A point has of each axis its key, the number of a value among the axis' values, the value,
    and the place where that stands. A case is a point of several axes at once."""
    cases = [
        [(key, index, value, f"case[{index}].{quoted(key)}") for key, value in case.items()]
        for index, case in enumerate(plan.cases)
    ]
    axes = [
        [[(key, i, value, f"grid.{quoted(key)}[{i}]")] for i, value in enumerate(values)]
        for key, values in plan.grid.items()
    ]
    words = {
        key: axis_words([builder.named(key, value) for value in values])
        for key, values in (_telling_apart(plan.cases) | plan.grid).items()
    }
    for parts in itertools.product(cases or [[]], *axes):
        point = list(itertools.chain(*parts))
        raw = copy.deepcopy(plan.trial)
        places = {}
        for key, _, value, place in sorted(point, key=lambda item: item[0].count(".")):
            builder.put(raw, key, value)
            places[key] = place
        for key, value in sorted(plan.overrides.items(), key=lambda item: item[0].count(".")):
            builder.put(raw, key, value)
            places[key] = plan.places[key]
        axes_of_point = {key: builder.named(key, value) for key, _, value, _ in point}
        try:
            trial = builder.trial(raw, axes_of_point)
        except SuiteError as error:
            raise SuiteError(_placed(str(error), places)) from None
        yield replace(trial, words={key: words[key][i] for key, i, _, _ in point if key in words})


def _telling_apart(cases: list[Raw]) -> dict[str, list[Any]]:
    """The first keys of the cases, as many as tell them apart: a label needs no more."""
    keys: dict[str, list[Any]] = {}
    for key in cases[0] if cases else ():
        keys[key] = [case[key] for case in cases]
        points = [repr(point) for point in zip(*keys.values(), strict=True)]
        if len(set(points)) == len(points):
            break
    return keys


def _excluded(trial: Trial, exclude: Exclude) -> bool:
    spared = exclude.unless is not None and matches(exclude.unless, trial)
    return matches(exclude.where, trial) and not spared


def _placed(message: str, places: Mapping[str, str]) -> str:
    """The complaint about trial.KEY, naming the place that KEY's value came from instead."""
    for key in sorted(places, key=len, reverse=True):
        rest = message.removeprefix(f"trial.{key}")
        if rest != message and rest[:1] in (".", ":", "["):
            return places[key] + rest
    return message


def _check_unique(trials: Iterable[Trial]) -> None:
    seen: dict[str, Trial] = {}
    for trial in trials:
        twin = seen.setdefault(trial.id, trial)
        if twin is not trial:
            raise SuiteError(f"grid: two trials are the same: {label(twin)!r} and {label(trial)!r}")
