"""Expands a suite into its trials: all combinations of the grid, with every component validated.

Later sources win: defaults, [trial], a whole component in [[case]] or [grid], a parameter of one,
[quick], and `settings` (--set and similar options).
"""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench.core.trial import Trial
from sparsebench.errors import SuiteError, nearest
from sparsebench.metrics import Metrics, declared_metrics
from sparsebench.registry import Plugins
from sparsebench.suite.keys import TRIAL_KEYS, check_key
from sparsebench.suite.labels import axis_words, label
from sparsebench.suite.selectors import check_selectors, matches
from sparsebench.suite.suite import Exclude, Suite, check_axis
from sparsebench.suite.trial_builder import Builder, Raw
from sparsebench.toml_file import check_plain, parse_toml, quoted

MOST_TRIALS = 50_000
"""The most trials of a grid; a larger grid is refused before it is expanded."""


HOW_TO_SPLIT = (
    "; an axis of [grid] is for every trial: write it in the tables of the components that have it"
)


def expand(
    suite: Suite,
    plugins: Plugins,
    *,
    data_dir: Path,
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Trial]:
    """The trials of a suite, case by case, in the order of the grid; the last axis varies fastest.

    quick     apply the suite's [quick]
    settings  dotted key of [trial] -> value for all trials; this key and those below it are removed
              from the grid and from the cases
    seeds     values of the seed axis; None: those of the suite

    If none of these three is given, also checks that each exclude, expect and claim matches a trial
    of the suite as written. Raises SuiteError, which starts with the suite's file.
    """
    try:
        grid, cases, overrides = _overridden(suite, quick, settings or {}, seeds)
        every = list(_trials(suite, Builder(suite, plugins, data_dir), grid, cases, overrides))
        kept = [t for t in every if not any(_excluded(t, e) for e in suite.excludes)]
        if not (quick or settings or seeds is not None):
            check_selectors(suite, every, kept)
        _check_metrics(suite, declared_metrics(plugins, kept))
        seen: dict[str, Trial] = {}
        for trial in kept:
            twin = seen.setdefault(trial.id, trial)
            if twin is not trial:
                both = f"{label(twin)!r} and {label(trial)!r}"
                raise SuiteError(f"grid: two trials are the same: {both}")
    except (SuiteError, ValueError) as error:
        raise SuiteError(f"{suite.place}: {error}") from None
    return kept


def _check_metrics(suite: Suite, declared: Metrics) -> None:
    """Raise SuiteError for a claim on an unknown metric, or with a percentage for a share."""
    known = [metric.name for metric in declared.of_trials()]
    for i, claim in enumerate(suite.claims):
        for key in ("metric", "against_metric"):
            name = getattr(claim, key)
            if name is not None and name not in known:
                hint = nearest(name, known)
                raise SuiteError(f"claims[{i}].{key}: unknown metric {name!r}.{hint}")
        for key in ("value", "std", "tolerance"):
            found = getattr(claim, key)
            if declared[claim.metric].unit == "fraction" and found is not None and found > 1:
                raise SuiteError(
                    f"claims[{i}].{key}: {claim.metric} is a share from 0 to 1; found {found:g}, "
                    f"write {found / 100:g} for {found:g} %"
                )


Grid = dict[str, list[Any]]
Overrides = dict[str, tuple[Any, str]]
"""Dotted key -> a value for all trials, and the place where it was given, for messages."""


def _overridden(
    suite: Suite, quick: bool, settings: Mapping[str, Any], seeds: Sequence[int] | None
) -> tuple[Grid, list[Raw], Overrides]:
    """The grid and the cases without the keys that are overridden, and the overriding values."""
    grid, cases = dict(suite.grid), [dict(case) for case in suite.cases]
    overrides: Overrides = {}

    def override(path: str, value: Any, place: str) -> None:
        _leave_out(path, grid, overrides, *cases)
        overrides[path] = value, place

    for key, value in suite.quick.items() if quick else ():
        if isinstance(value, list) and (key in suite.grid or key == "seed"):
            check_axis(value, f"quick.{quoted(key)}")
            _leave_out(key, *cases)
            grid[key] = value
        else:
            override(key, value, f"quick.{quoted(key)}")
    if seeds is not None:
        grid_seeds = without_numpy(list(seeds))
        check_axis(grid_seeds, "--seeds")
        _leave_out("seed", overrides, *cases)
        grid["seed"] = grid_seeds
    for path, value in settings.items():
        place = f"--set {path}"
        if path == "seed" and seeds is not None:
            raise SuiteError(f"{place}: --seeds is given too")
        try:
            check_key(path, TRIAL_KEYS)
        except SuiteError as error:
            raise SuiteError(f"{place}: {error}") from None
        value = without_numpy(value)
        check_plain(value, place)
        override(path, value, place)
    cases = [case for index, case in enumerate(cases) if case not in cases[:index]]
    _check_size({**grid, **({"case": cases} if cases else {})})
    return grid, cases, overrides


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
    """Remove the key `path` and the keys below it from each of the tables, because another source
    overrides them."""
    for values in given:
        for key in [key for key in values if key == path or key.startswith(path + ".")]:
            del values[key]


def _trials(
    suite: Suite, builder: Builder, grid: Grid, cases: list[Raw], overrides: Overrides
) -> Iterator[Trial]:
    """Yield the trials: all combinations of the cases with the values of the grid.

    A point of the grid is a list that has, for each axis, its key, the index of a value, the value,
    and the place where it is written. A case is a point on several axes.
    """
    points = [
        [(key, index, value, f"case[{index}].{quoted(key)}") for key, value in case.items()]
        for index, case in enumerate(cases)
    ]
    axes = [
        [[(key, i, value, f"grid.{quoted(key)}[{i}]")] for i, value in enumerate(values)]
        for key, values in grid.items()
    ]
    words = {
        key: axis_words([builder.named(key, value) for value in values])
        for key, values in (_telling_apart(cases) | grid).items()
    }
    last = [(key, value, place) for key, (value, place) in overrides.items()]
    for parts in itertools.product(points or [[]], *axes):
        point = list(itertools.chain(*parts))
        raw = copy.deepcopy(suite.trial)
        places = {}
        for values in ([(key, value, place) for key, _, value, place in point], last):
            for key, value, place in sorted(values, key=lambda item: item[0].count(".")):
                builder.put(raw, key, value)
                places[key] = place
        axes_of_point = {key: builder.named(key, value) for key, _, value, _ in point}
        try:
            trial = builder.trial(raw, axes_of_point)
        except SuiteError as error:
            raise SuiteError(_placed(str(error), places)) from None
        yield replace(trial, words={key: words[key][i] for key, i, _, _ in point if key in words})


def _telling_apart(cases: list[Raw]) -> dict[str, list[Any]]:
    """The values of the cases by key, for as many of the first keys as labels need to distinguish
    all cases."""
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
    """The message about trial.KEY, which instead starts with the place from which KEY's value
    comes. A message about a key without a place is unchanged."""
    for key in sorted(places, key=len, reverse=True):
        rest = message.removeprefix(f"trial.{key}")
        if rest != message and rest[:1] in (".", ":", "["):
            from_grid = places[key].startswith("grid.") and "has no such parameter" in rest
            return places[key] + rest + (HOW_TO_SPLIT if from_grid else "")
    return message


# --- values from outside the suite ----------------------------------------------------


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse `path=value` of --set; the value is TOML, or text if it is not valid TOML. Raises
    SuiteError if there is no `=` or no path."""
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise SuiteError(f"--set: expected path=value, found {text!r}")
    try:
        parsed = parse_toml(f"value = {value}")
    except (ValueError, RecursionError):
        return path, value
    found = parsed["value"]
    is_plain = isinstance(found, str | int | float | bool | list | dict)
    return path, found if is_plain and len(parsed) == 1 else value


def parse_seeds(text: str) -> list[int]:
    """Parse seeds: `0:5` is 0 to 4, `0,3,7` is a list; both may be mixed. Raises SuiteError, also
    for a seed that is given twice."""
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,18})\s*(?::\s*(\d{1,18})\s*)?", part)
        if found is None:
            raise SuiteError(f"--seeds: expected a range 0:5 or a list 0,3,7; found {text!r}")
        first, end = int(found[1]), int(found[2] if found[2] else int(found[1]) + 1)
        if not 0 < end - first <= 100_000:
            raise SuiteError(
                f"--seeds: {part.strip()!r} is not a range of seeds (the end is not included)"
            )
        seeds.extend(range(first, end))
    twice = [seed for seed, count in Counter(seeds).items() if count > 1]
    if twice:
        raise SuiteError(f"--seeds: {twice[0]} is given twice in {text!r}")
    return seeds


def without_numpy(value: Any) -> Any:
    """The value with numpy scalars and arrays converted to Python numbers and lists."""
    if isinstance(value, Mapping):
        return {key: without_numpy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_numpy(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
