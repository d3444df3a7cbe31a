"""Reads the user's defaults: `SPARSEBENCH_*` variables and ~/.config/sparsebench/config.toml.

Arguments win over variables, these over the suite, the suite over config.toml, and that over the
built-in defaults. An empty variable counts as unset.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter, ValidationError

from sparsebench import folders
from sparsebench.errors import SparsebenchError, SuiteError
from sparsebench.pydantic_errors import complaint
from sparsebench.suite.defaults import Bytes, Seconds, Whole1
from sparsebench.toml_file import read_toml

DEFAULT_STORE = Path(".sparsebench")


Text = Annotated[str, Field(min_length=1, description="a text")]


@dataclass(frozen=True)
class Config:
    """The keys of config.toml. The environment variable SPARSEBENCH_<KEY> sets the same; for an
    executor's address there is only the variable, SPARSEBENCH_ADDRESS."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    store: Text | None = None
    data: Text | None = None
    jobs: Whole1 | None = None
    executor: Text | None = None
    threads: Whole1 | None = None
    timeout: Seconds | None = None
    memory_limit: Bytes | None = None


_FORM = TypeAdapter(Config)

OF_TRIALS = ("threads", "timeout", "memory_limit")
"""Keys that a suite's [trial] has too; there they win over config.toml."""


def config_file() -> Path | None:
    """The path of config.toml, whether it exists or not; None for a user without a home folder."""
    base = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(base) if base else Path.home() / ".config") / "sparsebench" / "config.toml"
    except RuntimeError:
        return None


def read_config() -> dict[str, Any]:
    """The checked content of config.toml, with its values as written; empty if there is no such
    file. Raises SuiteError for content that is not valid."""
    file = config_file()
    if file is None or not os.path.lexists(file):
        return {}
    found, _ = read_toml(file, SuiteError)
    try:
        _FORM.validate_python(found)
    except ValidationError as error:
        raise SuiteError(f"{file}: {complaint(error, Config)}") from None
    settings: dict[str, Any] = found
    return settings


def from_environment(name: str) -> Any:
    """The value of the variable SPARSEBENCH_<NAME>, an int for jobs and threads, else text; None if
    it is unset or empty."""
    value = os.environ.get(f"SPARSEBENCH_{name.upper()}")
    if not value or name not in ("jobs", "threads"):
        return value or None
    if not value.strip().isdecimal():
        raise SparsebenchError(
            f"SPARSEBENCH_{name.upper()}: expected a whole number from 1, found {value!r}"
        )
    return int(value)


def setting(name: str, given: Any = None) -> Any:
    """`given`, else the variable of that name, else the value of config.toml, else None."""
    if given is None:
        given = from_environment(name)
    return read_config().get(name) if given is None else given


def trial_defaults() -> dict[str, Any]:
    return {key: value for key, value in read_config().items() if key in OF_TRIALS}


def store_directory(given: str | Path | None = None) -> Path:
    """The folder of the store; by default `.sparsebench` in the current folder."""
    return expanded(setting("store", given) or DEFAULT_STORE)


def data_directory(given: str | Path | None = None) -> Path:
    """The data directory; by default in the user's cache."""
    found = setting("data", given)
    return folders.data_directory(expanded(found) if found is not None else None)


def expanded(path: str | Path) -> Path:
    """The path with a leading `~` replaced by the home folder, if that is known."""
    return Path(os.path.expanduser(path))
