"""The user's own defaults: ~/.config/sparsebench/config.toml. Everything else wins over it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsebench.errors import SuiteError, nearest
from sparsebench.suite.values import whole
from sparsebench.units import seconds, size


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, found {value!r}")
    return value


FOR_RUNS: dict[str, Callable[[Any], Any]] = {
    "store": _text,
    "data": _text,
    "jobs": whole(1),
    "executor": _text,
}
"""Become SPARSEBENCH_* where that is not set."""

FOR_TRIALS: dict[str, Callable[[Any], Any]] = {
    "threads": whole(1),
    "timeout": seconds,
    "memory_limit": size,
}
"""Become defaults of [trial]: a suite that says otherwise wins."""


def config_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "sparsebench" / "config.toml"


def read_config() -> dict[str, Any]:
    """What the file says, checked; empty where there is none."""
    file = config_file()
    try:
        found = tomllib.loads(file.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SuiteError(f"{file}: cannot be read: {error}") from None
    checks = {**FOR_RUNS, **FOR_TRIALS}
    for key, value in found.items():
        if key not in checks:
            raise SuiteError(f"{file}: {key}: unknown key.{nearest(key, checks)}")
        try:
            checks[key](value)
        except ValueError as error:
            raise SuiteError(f"{file}: {key}: {error}") from None
    return found


def use_config() -> None:
    """Set the environment's defaults from the file."""
    for key, value in read_config().items():
        if key in FOR_RUNS:
            text = str(Path(value).expanduser()) if key in ("store", "data") else str(value)
            os.environ.setdefault(f"SPARSEBENCH_{key.upper()}", text)


def trial_defaults() -> dict[str, Any]:
    return {key: value for key, value in read_config().items() if key in FOR_TRIALS}
