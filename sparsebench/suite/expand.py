"""From a suite to its trials: the grid multiplied out, every component validated.

What decides a value, weakest first: the defaults, [trial], a whole component of [grid], one
parameter of [grid], [quick], and `settings` (--set and the like).
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsebench.errors import MissingData, PluginError, SparsebenchError, SuiteError, nearest
from sparsebench.machine import usable_cores
from sparsebench.registry import Component, Plugins
from sparsebench.suite.read import check_axis, check_plain, quoted, shown
from sparsebench.suite.suite import Suite, Where
from sparsebench.suite.trial import PARTS, Trial, canonical
from sparsebench.suite.units import seconds, size
from sparsebench.suite.where import PLAIN, check_key, matches, parameter_keys

DEFAULT_NAMES = {
    "model": "mlp",
    "topology": "dense",
    "optimizer": "sgd",
    "trainer": "sequential",
    "backend": "numba-csr",
}

Raw = dict[str, Any]


def expand(
    suite: Suite,
    plugins: Plugins,
    *,
    data_dir: Path,
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Trial]:
    """The trials of a suite, in the grid's order, the last axis fastest.

    quick     apply the suite's [quick]
    settings  path below [trial] -> value; removes that axis of the grid and those below it
    seeds     the values of the seed axis

    That each exclude, expect and claim matches a trial is judged on the suite as written, so
    not if any of the three is given.
    """
    settings = settings or {}
    try:
        plan = _plan(suite, quick, settings, seeds)
        every = list(_trials(plan, _Builder(suite, plugins, data_dir)))
        kept = [t for t in every if not any(matches(e.where, t) for e in suite.excludes)]
        if not (quick or settings or seeds is not None):
            _check_where(suite, every, kept)
        _check_unique(kept)
    except SuiteError as error:
        raise SuiteError(f"{suite.place}: {error}") from None
    return kept


def parse_setting(text: str) -> tuple[str, Any]:
    """`path=value` of --set; the value is TOML, or a text where it is not."""
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise SuiteError(f"--set: expected path=value, found {text!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return path, value
    found = parsed["value"]
    is_plain = isinstance(found, str | int | float | bool | list | dict)
    return path, found if is_plain and len(parsed) == 1 else value


def parse_seeds(text: str) -> list[int]:
    """`0:5` is 0 to 4; `0,3,7` is those; both may be mixed."""
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,18})\s*(?::\s*(\d{1,18})\s*)?", part)
        if found is None:
            raise SuiteError(f"--seeds: expected a range 0:5 or a list 0,3,7; found {text!r}")
        first, end = int(found[1]), int(found[2] if found[2] else int(found[1]) + 1)
        if not 0 < end - first <= 100_000:
            raise SuiteError(f"--seeds: {part.strip()!r} is no seed (the end is not included)")
        seeds.extend(range(first, end))
    return seeds


# --- the grid multiplied out ---------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What to multiply out. `places` says where an overriding value was given."""

    trial: Raw
    grid: dict[str, list[Any]]
    overrides: Raw
    places: dict[str, str]


def _plan(
    suite: Suite, quick: bool, settings: Mapping[str, Any], seeds: Sequence[int] | None
) -> _Plan:
    grid = dict(suite.grid)
    overrides: Raw = {}
    places: dict[str, str] = {}

    def override(path: str, value: Any, place: str) -> None:
        for given in (grid, overrides):
            for key in [key for key in given if _lies_at_or_below(key, path)]:
                del given[key]
        overrides[path] = value
        places[path] = place

    for key, value in suite.quick.items() if quick else ():
        if isinstance(value, list) and (key in suite.grid or key == "seed"):
            check_axis(value, f"quick.{quoted(key)}")
            grid[key] = value
        else:
            override(key, value, f"quick.{quoted(key)}")
    if seeds is not None:
        check_axis(list(seeds), "--seeds")
        overrides.pop("seed", None)
        grid["seed"] = list(seeds)
    for path, value in settings.items():
        place = f"--set {path}"
        if path == "seed" and seeds is not None:
            raise SuiteError(f"{place}: --seeds is given too")
        try:
            check_key(path, (*PARTS, *PLAIN))
        except SuiteError as error:
            raise SuiteError(f"{place}: {error}") from None
        check_plain(value, place)
        override(path, value, place)
    return _Plan(suite.trial, grid, overrides, places)


def _lies_at_or_below(key: str, path: str) -> bool:
    return key == path or key.startswith(path + ".")


def _trials(plan: _Plan, builder: _Builder) -> Iterator[Trial]:
    axes = [[(key, *item) for item in enumerate(values)] for key, values in plan.grid.items()]
    for point in itertools.product(*axes):
        raw = copy.deepcopy(plan.trial)
        places = {}
        for key, index, value in sorted(point, key=lambda item: item[0].count(".")):
            builder.put(raw, key, value)
            places[key] = f"grid.{quoted(key)}[{index}]"
        for key, value in sorted(plan.overrides.items(), key=lambda item: item[0].count(".")):
            builder.put(raw, key, value)
            places[key] = plan.places[key]
        axes_of_point = {key: builder.named(key, value) for key, _, value in point}
        try:
            yield builder.trial(raw, axes_of_point)
        except SuiteError as error:
            raise SuiteError(_placed(str(error), places)) from None


def _placed(message: str, places: Mapping[str, str]) -> str:
    """The complaint about trial.KEY, told of the place that KEY's value came from."""
    for key in sorted(places, key=len, reverse=True):
        rest = message.removeprefix(f"trial.{key}")
        if rest != message and rest[:1] in (".", ":"):
            return places[key] + rest
    return message


# --- one trial -----------------------------------------------------------------------


@dataclass
class _Builder:
    """Makes trials of raw tables; validates each distinct component once."""

    suite: Suite
    plugins: Plugins
    data_dir: Path
    _known: dict[str, Component] = field(default_factory=dict)
    _identities: dict[str, Raw] = field(default_factory=dict)

    def trial(self, raw: Raw, axes: Raw) -> Trial:
        parts = {part: self._component(part, raw.get(part)) for part in PARTS}
        plain = {key: _plain(key, value) for key, value in raw.items() if key in PLAIN}
        if "epochs" not in plain:
            raise SuiteError("trial.epochs: missing; it is required")
        defaults = {"batch_size": 128, "threads": len(usable_cores()), "seed": 0}
        return Trial(
            **parts,
            **{**defaults, **plain},
            data=self._identity(parts["dataset"]),
            suite=self.suite.name,
            axes=axes,
        )

    def named(self, key: str, value: Any) -> Any:
        """A component with its default name filled in, for a label; other values as they are."""
        if key in DEFAULT_NAMES and isinstance(value, Mapping):
            return {"name": DEFAULT_NAMES[key], **value}
        return copy.deepcopy(value)

    def put(self, raw: Raw, path: str, value: Any) -> None:
        """Set the value at a dotted path; names on the way become tables."""
        part, *steps = path.split(".")
        if not steps:
            raw[part] = copy.deepcopy(value)
            return
        table, kind = self._table(raw, part, raw.get(part), DEFAULT_NAMES.get(part)), part
        for step in steps[:-1]:
            default, kind = self._default(kind, table.get("name"), step)
            table = self._table(table, step, table.get(step), default)
        table[steps[-1]] = copy.deepcopy(value)

    @staticmethod
    def _table(parent: Raw, key: str, value: Any, default: Any) -> Raw:
        """parent[key] as a table that may be changed."""
        found = default if value is None or value == "" else value
        if isinstance(found, Mapping) and default is not None and "name" not in found:
            found = {"name": default if isinstance(default, str) else default["name"], **found}
        table = dict(found) if isinstance(found, Mapping) else {}
        if isinstance(found, str):
            table = {"name": found}
        parent[key] = table
        return table

    def _default(self, kind: str, name: object, key: str) -> tuple[Any, str]:
        """The default of a component's nested component, and its kind."""
        from sparsebench.registry import nested_kinds

        if kind == "topology" and key == "prune":
            return None, "pruning"
        if kind not in self.plugins.registries or name not in self.plugins[kind]:
            return None, ""
        cls = self.plugins.entry(kind, str(name)).parameters()
        for parameter in dataclasses.fields(cls):
            default = parameter.default
            if parameter.name == key and isinstance(default, str | Mapping):
                return default, nested_kinds(cls).get(key, "")
        return None, nested_kinds(cls).get(key, "")

    def _component(self, part: str, given: Any) -> Component:
        given = self._with_name(part, given)
        key = f"{part} {canonical(given)}"
        if key not in self._known:
            self._known[key] = self._validated(part, given)
        return copy.deepcopy(self._known[key])

    def _with_name(self, part: str, given: Any) -> Raw:
        where = f"trial.{part}"
        if given is None and part not in DEFAULT_NAMES:
            raise SuiteError(f"{where}: missing; it is required")
        if isinstance(given, list):
            raise SuiteError(f"{where}: {_one_value(given)}")
        if given is None or isinstance(given, str):
            return {"name": DEFAULT_NAMES[part] if given is None else given}
        if not isinstance(given, Mapping):
            raise SuiteError(
                f"{where}: expected a {part} name or a table with a name, found {shown(given)}"
            )
        if "name" not in given and part in DEFAULT_NAMES:
            return {"name": DEFAULT_NAMES[part], **given}
        return dict(given)

    def _validated(self, part: str, given: Raw) -> Component:
        where = f"trial.{part}"
        if part == "dataset" and self._is_elsewhere(given):
            return given
        prune = given.pop("prune", None) if part == "topology" else None
        try:
            found = self.plugins.validate(part, given, where)
            if part == "topology":
                found["prune"] = None
                if prune is not None and prune != "":
                    found["prune"] = self.plugins.validate("pruning", prune, f"{where}.prune")
        except SuiteError as error:
            raise SuiteError(_with_hint(str(error), {part: given})) from None
        return found

    def _is_elsewhere(self, dataset: Raw) -> bool:
        """A data set that no plugin brings, but of which the suite says where it is."""
        name = dataset.get("name")
        return name not in self.plugins["dataset"] and name in self.suite.sources

    def _identity(self, dataset: Component) -> Raw:
        key = canonical(dataset)
        if key not in self._identities:
            elsewhere = self._is_elsewhere(dataset)
            found = self._missing(dataset) if elsewhere else identity(self.plugins, dataset)
            self._identities[key] = found
        return copy.deepcopy(self._identities[key])

    def _missing(self, dataset: Component) -> Raw:
        name = dataset["name"]
        source = self.suite.sources[name]
        text = f"data set {name!r} is not in {self.data_dir}"
        if "openml" in source:
            command = f"sparsebench data fetch {name} --openml {source['openml']}"
            return {"missing": f"{text}; get it with: {command}"}
        return {"missing": f"{text}; {' '.join(source['note'].split())}"}


def identity(plugins: Plugins, dataset: Component) -> Raw:
    """What else than its parameters decides a data set, or {"missing": why}. Loads no arrays."""
    entry = plugins.entry("dataset", dataset["name"])
    if entry.unavailable() is not None:
        return {}
    values = {key: value for key, value in dataset.items() if key != "name"}
    try:
        instance = entry.parameters()(**values)
        found = instance.identity() if hasattr(instance, "identity") else {}
        canonical(dict(found))
    except MissingData as error:
        return {"missing": " ".join(str(error).split())}
    except SparsebenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"dataset {entry.name!r} of {entry.owner}: identity() raised "
            f"{type(error).__name__}: {error}"
        ) from error
    return dict(found)


def _one_value(found: object) -> str:
    return f"found {shown(found)}; a list means one trial each only in [grid]"


def _with_hint(message: str, raw: Raw) -> str:
    """The complaint about a parameter, with a word on grids if a list was given for a scalar."""
    place = message.partition(":")[0].removeprefix("trial.")
    value: Any = raw
    for step in place.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, list) and "valid list" not in message and "valid tuple" not in message:
        return f"{message}; a list means one trial each only in [grid]"
    return message


# --- values that are no components ---------------------------------------------------


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, list):
        raise SuiteError(f"trial.{key}: {_one_value(value)}")
    try:
        return _CHECKS[key](value)
    except ValueError as error:
        raise SuiteError(f"trial.{key}: {error}") from None


def _whole(least: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"expected a whole number from {least}, found {shown(value)}")
        return value

    return check


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"expected a share from 0 to less than 1, found {shown(value)}")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {shown(value)}")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "epochs": _whole(1),
    "batch_size": _whole(1),
    "threads": _whole(1),
    "seed": _whole(0),
    "split_seed": _whole(0),
    "validation": _share,
    "huge_pages": _flag,
    "timeout": seconds,
    "memory_limit": size,
    "retries": _whole(0),
    "checkpoint": seconds,
}


# --- what a suite says of its trials -------------------------------------------------


def _check_where(suite: Suite, every: Sequence[Trial], kept: Sequence[Trial]) -> None:
    known = {key for trial in every for key in parameter_keys(trial)}
    for where, place, trials in _wheres(suite, every, kept):
        for key in where:
            head, dot, _ = key.partition(".")
            full = "topology." + key if head == "prune" else key
            if dot and full not in known:
                raise SuiteError(
                    f"{place}.{quoted(key)}: no trial has this parameter.{nearest(key, known)}"
                )
        if not any(matches(where, trial) for trial in trials):
            excluded = any(matches(where, trial) for trial in every)
            raise SuiteError(
                f"{place}: {'matches excluded trials only' if excluded else 'matches no trial'}: "
                f"{shown(dict(where))}. {_seen(where, every)}"
            )


def _wheres(
    suite: Suite, every: Sequence[Trial], kept: Sequence[Trial]
) -> Iterator[tuple[Where, str, Sequence[Trial]]]:
    for index, exclude in enumerate(suite.excludes):
        yield exclude.where, f"exclude[{index}].where", every
    for index, expect in enumerate(suite.expects):
        yield expect.where, f"expect[{index}].where", kept
    for index, claim in enumerate(suite.claims):
        yield claim.where, f"claims[{index}].where", kept
        if claim.against is not None:
            yield claim.against, f"claims[{index}].against", kept


def _seen(where: Where, trials: Sequence[Trial]) -> str:
    """The nearest match and what is known, for the first key that nothing agrees with."""
    for key, wanted in where.items():
        if not any(matches({key: wanted}, trial) for trial in trials):
            values = {_value_text(key, trial) for trial in trials}
            return f"For {key}:{nearest(str(wanted), values)}"
    return "No trial has all of these at once"


def _value_text(key: str, trial: Trial) -> str:
    head, *rest = key.split(".")
    value: Any = trial.topology.get("prune") if head == "prune" else getattr(trial, head)
    for step in rest:
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        return str(value["name"])
    return '""' if value is None else str(value)


def _check_unique(trials: Iterable[Trial]) -> None:
    seen: dict[str, Trial] = {}
    for trial in trials:
        twin = seen.setdefault(trial.id, trial)
        if twin is not trial:
            raise SuiteError(
                f"grid: two trials are the same: {twin.label()!r} and {trial.label()!r}"
            )
