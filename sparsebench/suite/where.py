"""Does a trial match a selector of a suite, such as `where`?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparsebench.core.trial import PARTS, Trial
from sparsebench.errors import SuiteError, nearest
from sparsebench.suite.trial_values import PLAIN
from sparsebench.units import seconds, size

UNITS = {"timeout": seconds, "checkpoint": seconds, "memory_limit": size}


def matches(where: Mapping[str, Any], trial: Trial) -> bool:
    """Whether all of `where` is so in `trial`; an empty `where` is every trial.

    `topology = "set"` compares names, `"model.hidden"` a parameter, `prune` the name of the
    pruning ("" for none), `seed` and the like values. A table compares what it gives. A
    parameter that the trial's component does not have is unequal to everything.
    """
    return all(_agrees(_found(key, trial), _wanted(key, value)) for key, value in where.items())


def check_key(key: str, known: Sequence[str] = (*PARTS, *PLAIN, "prune")) -> None:
    """SuiteError for a key that no trial can have, such as `topolgy` or `seed.x`."""
    head, dot, rest = key.partition(".")
    if head not in known:
        raise SuiteError(f"unknown key {key!r}.{nearest(head, known)}")
    if dot and (head not in (*PARTS, "prune") or not all(rest.split("."))):
        raise SuiteError(
            f"unknown key {key!r}: only components have parameters: {', '.join(PARTS)}"
        )


def parameter_keys(trial: Trial) -> Iterator[str]:
    """Every dotted key of a trial's components."""
    for part in PARTS:
        yield from _keys(part, getattr(trial, part))


def _keys(path: str, value: object) -> Iterator[str]:
    yield path
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _keys(f"{path}.{key}", item)


def _found(key: str, trial: Trial) -> Any:
    """The value at a key; `_absent` where the trial has none."""
    check_key(key)
    head, *rest = key.split(".")
    value: Any = trial.topology.get("prune") if head == "prune" else getattr(trial, head)
    for step in rest:
        if not isinstance(value, Mapping) or step not in value:
            return _absent
        value = value[step]
    return "" if value is None and (rest or [head])[-1] == "prune" else value


def _wanted(key: str, value: Any) -> Any:
    if isinstance(value, str) and key in UNITS:
        try:
            return UNITS[key](value)
        except ValueError as error:
            raise SuiteError(f"{key}: {error}") from None
    return value


def _agrees(found: Any, wanted: Any) -> bool:
    if isinstance(found, Mapping):
        if isinstance(wanted, Mapping):
            return all(_agrees(found.get(key, _absent), item) for key, item in wanted.items())
        return isinstance(wanted, str) and found.get("name") == wanted
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(_agrees, found, wanted))
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


_absent = object()
