"""The form of values in a suite file: each complaint names the key and what was found."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sparsebench.errors import SuiteError, nearest

Table = dict[str, Any]


def check_known(table: Table, known: Iterable[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise SuiteError(f"{where}{quoted(key)}: unknown key.{nearest(key, known)}")


def check_axis(values: object, where: str) -> None:
    """SuiteError unless `values` is a list of one or more plain values."""
    if not isinstance(values, list):
        raise SuiteError(f"{where}: expected a list, one trial each; found {shown(values)}")
    if not values:
        raise SuiteError(f"{where}: found an empty list; an axis needs a value")
    for index, value in enumerate(values):
        check_plain(value, f"{where}[{index}]")


def check_plain(value: object, where: str) -> None:
    """SuiteError for what no record can hold: dates, nan, infinities, numbers past 64 bits."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_plain(item, f"{where}.{quoted(key)}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_plain(item, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise SuiteError(f"{where}: expected a finite number, found {value!r}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise SuiteError(f"{where}: found a number that does not fit in 64 bits")
    elif not isinstance(value, str | int | float | bool):
        raise SuiteError(
            f"{where}: expected a text, number, list or table, found {shown(str(value))}"
        )


def take_table(data: Table, key: str, where: str = "", *, required: bool = False) -> Table:
    found: Table | None = take(data, key, a_table, where, required=required)
    return found if found is not None else {}


def take(
    data: Table,
    key: str,
    check: Callable[[Any], str | None],
    where: str = "",
    *,
    required: bool = False,
) -> Any:
    """data[key], None where it is missing. `check` says what was expected instead."""
    place = f"{where}.{quoted(key)}" if where else quoted(key)
    if key not in data:
        if required:
            raise SuiteError(f"{place}: missing; it is required")
        return None
    expected = check(data[key])
    if expected is not None:
        raise SuiteError(f"{place}: expected {expected}, found {shown(data[key])}")
    return data[key]


def a_table(value: Any) -> str | None:
    return None if isinstance(value, dict) else "a table"


def a_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "a text"


def some_texts(value: Any) -> str | None:
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if is_list else "a list of texts"


def a_number(value: Any) -> str | None:
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    return None if ok and -1e300 < value < 1e300 else "a finite number"


def at_least_0(value: Any) -> str | None:
    return None if a_number(value) is None and value >= 0 else "a number, 0 or more"


def a_count(value: Any) -> str | None:
    ok = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return None if ok else "a whole number above 0"


def quoted(key: str) -> str:
    """A key as TOML writes it: bare where it can be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key).replace("'", '"')


def shown(value: object) -> str:
    """A found value in at most 80 characters of one line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + " ..."
