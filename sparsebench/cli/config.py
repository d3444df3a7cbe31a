"""The user's own defaults: ~/.config/sparsebench/config.toml. Everything else wins over it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter, ValidationError

from sparsebench.errors import SuiteError
from sparsebench.suite.trial_values import Bytes, Seconds, Whole1
from sparsebench.validation import complaint, read_toml

Text = Annotated[str, Field(min_length=1, description="a text")]

FOR_RUNS = ("store", "data", "jobs", "executor")
"""Become SPARSEBENCH_* where that is not set."""

FOR_TRIALS = ("threads", "timeout", "memory_limit")
"""Become defaults of [trial]: a suite that says otherwise wins."""


@dataclass(frozen=True)
class Config:
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    store: Text | None = None
    data: Text | None = None
    jobs: Whole1 | None = None
    executor: Text | None = None
    threads: Whole1 | None = None
    timeout: Seconds | None = None
    memory_limit: Bytes | None = None


_FORM = TypeAdapter(Config)


def config_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "sparsebench" / "config.toml"


def read_config() -> dict[str, Any]:
    """The file's settings, checked; empty where there is none."""
    file = config_file()
    if not os.path.lexists(file):
        return {}
    found, _ = read_toml(file, SuiteError)
    try:
        _FORM.validate_python(found)
    except ValidationError as error:
        raise SuiteError(f"{file}: {complaint(error, Config)}") from None
    settings: dict[str, Any] = found
    return settings


def use_config() -> None:
    """Set the environment's defaults from the file."""
    for key, value in read_config().items():
        if key in FOR_RUNS:
            text = str(Path(value).expanduser()) if key in ("store", "data") else str(value)
            os.environ.setdefault(f"SPARSEBENCH_{key.upper()}", text)


def trial_defaults() -> dict[str, Any]:
    return {key: value for key, value in read_config().items() if key in FOR_TRIALS}
