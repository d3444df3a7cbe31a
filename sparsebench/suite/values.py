"""The values of a trial that are no components: epochs, seed, timeout ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sparsebench.core.trial import SCALINGS
from sparsebench.errors import SuiteError
from sparsebench.suite.form import shown
from sparsebench.units import seconds, size


def one_value(found: object) -> str:
    """The complaint about a list where one value is wanted."""
    return f"found {shown(found)}; a list means one trial each only in [grid]"


def check_value(key: str, value: Any) -> Any:
    """The value of trial.KEY in the units of a Trial; SuiteError if it is not fit for it."""
    if isinstance(value, list):
        raise SuiteError(f"trial.{key}: {one_value(value)}")
    try:
        return _CHECKS[key](value)
    except ValueError as error:
        raise SuiteError(f"trial.{key}: {error}") from None


def whole(least: int) -> Callable[[Any], int]:
    """Takes a whole number from `least`; ValueError for anything else."""

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


def _one_of(known: Sequence[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in known:
            raise ValueError(f"expected {', '.join(known)}, found {shown(value)}")
        return str(value)

    return check


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "epochs": whole(1),
    "batch_size": whole(1),
    "threads": whole(1),
    "seed": whole(0),
    "split_seed": whole(0),
    "validation": _share,
    "huge_pages": _flag,
    "scaling": _one_of(SCALINGS),
    "timeout": seconds,
    "memory_limit": size,
    "retries": whole(0),
    "checkpoint": seconds,
    "keep_model": _flag,
}
