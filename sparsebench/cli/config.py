"""The user's own defaults: ~/.config/sparsebench/config.toml. Everything else wins over it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from sparsebench.errors import SuiteError, nearest

FOR_RUNS = ("store", "data", "jobs", "executor")
"""Become SPARSEBENCH_* where that is not set."""

FOR_TRIALS = ("threads", "timeout", "memory_limit")
"""Become defaults of [trial]: a suite that says otherwise wins."""


def config_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "sparsebench" / "config.toml"


def read_config() -> dict[str, Any]:
    """What the file says; empty where there is none."""
    file = config_file()
    try:
        found = tomllib.loads(file.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SuiteError(f"{file}: cannot be read: {error}") from None
    for key, value in found.items():
        known = (*FOR_RUNS, *FOR_TRIALS)
        if key not in known:
            raise SuiteError(f"{file}: {key}: unknown key.{nearest(key, known)}")
        if not isinstance(value, str | int):
            raise SuiteError(f"{file}: {key}: expected a text or a number, found {value!r}")
    return found


def use_config() -> None:
    """Set the environment's defaults from the file."""
    for key, value in read_config().items():
        if key in FOR_RUNS:
            text = str(Path(value).expanduser()) if key in ("store", "data") else str(value)
            os.environ.setdefault(f"SPARSEBENCH_{key.upper()}", text)


def trial_defaults() -> dict[str, Any]:
    return {key: value for key, value in read_config().items() if key in FOR_TRIALS}
