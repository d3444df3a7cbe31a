"""Selectors of trials: `where` and similar tables of a suite, and the expressions of -k."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sparsebench.core.trial import PARTS, Trial
from sparsebench.errors import NothingMatched, SuiteError, nearest, shown
from sparsebench.suite.keys import SELECTOR_KEYS, check_key
from sparsebench.suite.labels import brief, label
from sparsebench.suite.suite import Suite
from sparsebench.toml_file import quoted
from sparsebench.units import seconds, size

UNITS = {"timeout": seconds, "checkpoint": seconds, "memory_limit": size}

_ABSENT = object()
"""The value of a parameter that the trial's component does not have."""


# --- where ----------------------------------------------------------------------------


def matches(where: Mapping[str, Any], trial: Trial) -> bool:
    """Whether `trial` satisfies all conditions of `where`; an empty `where` matches every trial.

    The key `topology` with "set" compares names, `model.hidden` a parameter, `prune` the name of
    the pruning ("" for none), and keys such as `seed` compare values. A table compares only the
    keys that it has. A parameter that the trial's component does not have is unequal to everything;
    one that its data leave out has its default.
    Raises SuiteError for a key that no trial can have.
    """
    for key, wanted in where.items():
        if isinstance(wanted, str) and key in UNITS:
            try:
                wanted = UNITS[key](wanted)
            except ValueError as error:
                raise SuiteError(f"{key}: {error}") from None
        found = _found(key, trial)
        if found is None and key.rpartition(".")[2] == "prune":
            found = ""
        if not _agrees(found, wanted):
            return False
    return True


def differing(where: Mapping[str, Any], trial: Trial) -> list[tuple[str, str, str]]:
    """The conditions of `where` that `trial` does not satisfy: the key, the trial's value and the
    wanted value, both as short texts. Raises SuiteError for a key that no trial can have."""
    return [
        (key, _as_wanted(_found(key, trial), wanted), _as_wanted(wanted, wanted))
        for key, wanted in where.items()
        if not matches({key: wanted}, trial)
    ]


def _as_wanted(value: Any, wanted: Any) -> str:
    """A value as a short text; a component with those parameters that `wanted` has too:
    `set (zeta=0.3)`."""
    if value is None or value is _ABSENT:
        return "none"
    if not isinstance(value, Mapping) or not isinstance(wanted, Mapping):
        return brief(value)
    parameters = [f"{key}={brief(value[key])}" for key in wanted if key != "name" and key in value]
    name = str(value.get("name", ""))
    return f"{name} ({', '.join(parameters)})" if parameters else name


def _found(key: str, trial: Trial) -> Any:
    check_key(key, SELECTOR_KEYS)
    head, *rest = key.split(".")
    value: Any = trial.topology.get("prune") if head == "prune" else getattr(trial, head)
    if rest and head in PARTS:
        value = trial.whole(head)
    for step in rest:
        value = value.get(step, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value


def _agrees(found: Any, wanted: Any) -> bool:
    if isinstance(found, Mapping):
        if isinstance(wanted, Mapping):
            return all(_agrees(found.get(key, _ABSENT), item) for key, item in wanted.items())
        return isinstance(wanted, str) and found.get("name") == wanted
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(_agrees, found, wanted))
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


def check_selectors(suite: Suite, every: Sequence[Trial], kept: Sequence[Trial]) -> None:
    """Raise SuiteError for an exclude, expect or claim that matches no trial, or that names a
    parameter that no trial has.

    every  all trials of the grid
    kept   those that are not excluded
    """
    wheres: list[tuple[str, Mapping[str, Any], Sequence[Trial]]] = []
    for i, exclude in enumerate(suite.excludes):
        wheres.append((f"exclude[{i}].where", exclude.where, every))
        if exclude.unless is not None:
            wheres.append((f"exclude[{i}].unless", {**exclude.where, **exclude.unless}, every))
    wheres += [(f"expect[{i}].where", one.where, kept) for i, one in enumerate(suite.expects)]
    for i, claim in enumerate(suite.claims):
        wheres.append((f"claims[{i}].where", claim.where, kept))
        if claim.against is not None:
            wheres.append((f"claims[{i}].against", claim.against, kept))
    for i, claim in enumerate(suite.claims):
        sides = [{t.id for t in kept if matches(one, t)} for one in (claim.where, claim.against)
                 if one is not None]  # fmt: skip
        if len(sides) == 2 and sides[0] and sides[0] == sides[1] and not claim.against_metric:
            raise SuiteError(f"claims[{i}].against: selects the same trials as `where`")
    known = {
        key
        for trial in every for part in PARTS
        for key in _keys(part, trial.whole(part))
    }  # fmt: skip
    wheres += [
        (f"claims[{i}].requires", claim.requires, ())
        for i, claim in enumerate(suite.claims)
        if claim.requires is not None
    ]
    for place, where, trials in wheres:
        for key in where:
            full = "topology." + key if key.startswith("prune.") else key
            if "." in key and full not in known:
                hint = nearest(key, known)
                raise SuiteError(f"{place}.{quoted(key)}: no trial has this parameter.{hint}")
        if place.endswith(".requires") or any(matches(where, trial) for trial in trials):
            continue  # what a claim requires, no trial may have
        hint = "No trial has all of these at once"
        for key, wanted in where.items():  # the first key that nothing agrees with
            if not any(matches({key: wanted}, trial) for trial in every):
                values = {_value_text(_found(key, trial)) for trial in every}
                hint = f"For {key}:{nearest(str(wanted), values)}"
                break
        excluded = any(matches(where, trial) for trial in every)
        raise SuiteError(
            f"{place}: {'matches excluded trials only' if excluded else 'matches no trial'}: "
            f"{shown(dict(where))}. {hint}"
        )


def _keys(path: str, value: object) -> Iterator[str]:
    """The dotted keys of a component."""
    yield path
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _keys(f"{path}.{key}", item)


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value["name"])
    return '""' if value is None or value is _ABSENT else str(value)


# --- -k -------------------------------------------------------------------------------

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


def select(trials: Sequence[Trial], expression: str) -> list[Trial]:
    """The trials that match `expression`. Raises NothingMatched if there is none, and SuiteError if
    the expression is malformed.

    Words are combined with and, or, not and brackets. A word matches if it occurs, in any case, in
    a value of the trial's label, in its id or in a component's name; a word with `=` must be a
    whole word of the label.
    """
    tokens = _TOKEN.findall(expression)
    places = [i for i, token in enumerate(tokens) if token not in ("and", "or", "not", "(", ")")]
    words = {f"w{i}": tokens[i].lower() for i in places}
    source = " ".join(f"w{i}" if i in places else token for i, token in enumerate(tokens))
    try:  # of these words, brackets and operators only, the grammar is that of Python
        for left, right in itertools.pairwise(tokens):
            if (right == "(" and left not in ("and", "or", "not", "(")) or left + right == "()":
                raise SyntaxError("a call")
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        problem = "expected words with and, or, not and brackets"
        raise SuiteError(f"-k: {problem}, found {shown(expression)}") from None

    def holds(tree: ast.expr, is_true: Callable[[str], bool]) -> bool:
        match tree:
            case ast.BoolOp(op=ast.And(), values=values):
                return all(holds(value, is_true) for value in values)
            case ast.BoolOp(values=values):
                return any(holds(value, is_true) for value in values)
            case ast.UnaryOp(operand=operand):
                return not holds(operand, is_true)
        assert isinstance(tree, ast.Name)  # words, brackets and operators are all that was parsed
        return is_true(words[tree.id])

    kept = [trial for trial in trials if holds(tree, _words_of(trial))]
    if not kept:
        raise NothingMatched(f"-k {expression!r} matches none of {len(trials)} trials")
    return kept


def _words_of(trial: Trial) -> Callable[[str], bool]:
    """A function that says whether a word in lower case matches the trial."""
    words = [word.strip("(),") for word in label(trial).lower().split()]
    values = [word.partition("=")[2] or word for word in words]
    values += [name.lower() for part in PARTS for name in _names(getattr(trial, part))]
    values.append(trial.id)
    return lambda word: word in words if "=" in word else any(word in value for value in values)


def _names(value: Any) -> Iterator[str]:
    """The names of a component and of those nested in it."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for item in value.values():
            yield from _names(item)
