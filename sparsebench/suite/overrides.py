"""Values for trials from outside the suite: --set, --seeds, and their like in the API."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sparsebench.errors import SuiteError
from sparsebench.validation import parse_toml


def parse_setting(text: str) -> tuple[str, Any]:
    """`path=value` of --set; the value is TOML, or a text where it is not."""
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
    twice = [seed for seed, count in Counter(seeds).items() if count > 1]
    if twice:
        raise SuiteError(f"--seeds: {twice[0]} is given twice in {text!r}")
    return seeds


def without_numpy(value: Any) -> Any:
    """Numpy's scalars and arrays as Python's numbers and lists; anything else as it is."""
    if isinstance(value, Mapping):
        return {key: without_numpy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_numpy(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
