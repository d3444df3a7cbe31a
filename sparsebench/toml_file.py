"""Reads TOML files, and quotes keys and places as TOML writes them."""

from __future__ import annotations

import codecs
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsebench.errors import SparsebenchError, shown

LARGEST_TOML = 4 * 2**20
"""The largest TOML file, in bytes, that is read."""

_KEY = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{100}}")
"""Matches keys of very many parts. They are refused, because the time of tomllib grows with the
square of the number of parts."""


def read_toml(file: Path, error: type[SparsebenchError], name: str = "") -> tuple[Any, str]:
    """The tables of a TOML file, and its text. Any kind of line end and a byte order mark are
    accepted.

    error  exception to raise, with a one-line message, if the file is no readable TOML file
    name   the file's name in messages; empty: its path
    """
    name = name or str(file)
    try:
        mode = file.stat()
        if not stat.S_ISREG(mode.st_mode):
            raise error(f"{name}: cannot be read: it is not a regular file")
        if mode.st_size > LARGEST_TOML:
            raise error(f"{name}: is larger than {LARGEST_TOML >> 20} MiB")
        content = file.read_bytes()
        if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and len(content) % 2 == 0:
            raise error(f"{name}: is text in UTF-16; save it as UTF-8")
        text = content.decode("utf-8-sig")
        return parse_toml(text.replace("\r\n", "\n").replace("\r", "\n")), text
    except OSError as caught:
        raise error(f"{name}: cannot be read: {caught.strerror or caught}") from None
    except RecursionError:
        raise error(f"{name}: nested too deeply") from None
    except ValueError as caught:
        raise error(f"{name}: is not TOML in UTF-8: {' '.join(str(caught).split())}") from None


def parse_toml(text: str) -> Any:
    """Parse TOML. Raises ValueError if the text is not TOML, and RecursionError for deep nesting,
    before parsing gets slow."""
    if _LONG_KEY.search(text):
        raise RecursionError
    return tomllib.loads(text)


def check_plain(value: object, where: str = "") -> None:
    """Raise ValueError, which starts with `where`, for values that no record can store: dates, nan,
    infinities, and numbers of more than 64 bits."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_plain(item, f"{where}.{quoted(str(key))}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_plain(item, f"{where}[{index}]")
    elif isinstance(value, float) and not -float("inf") < value < float("inf"):
        raise ValueError(f"{where}: expected a finite number, found {value!r}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{where}: found a number that does not fit in 64 bits")
    elif not isinstance(value, str | int | float | bool):
        raise ValueError(
            f"{where}: expected a text, number, list or table, found {shown(str(value))}"
        )


def place(steps: tuple[int | str, ...]) -> str:
    """A place in a file, given by its keys and indices, as TOML would write it:
    `grid."model.hidden"[0]`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{quoted(step)}" for step in steps)
    return "".join(parts).removeprefix(".")


def quoted(key: str) -> str:
    """A key as TOML writes it, with quotes only if they are needed."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key).replace("'", '"')
