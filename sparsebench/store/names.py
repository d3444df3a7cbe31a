"""Which names a store uses: what is read from a file becomes a path only if it is one of them."""

from __future__ import annotations

import re
from typing import Any

TURNS = "turns.jsonl"
"""The journal of a folder in which `ab` took turns."""

TURNS_SCHEMA = 1

_TRIAL = re.compile(r"[0-9a-f]{16}")
_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}")
_SCRATCH = re.compile(r".+\.([0-9]{1,9})\.tmp")

MARKER, LOCK = "store.json", "store.lock"
TOP = (MARKER, LOCK, "runs", "trials", "baselines", "ab")
"""What lies in the store's own folder."""


def is_trial(name: Any) -> bool:
    """16 hex digits."""
    return isinstance(name, str) and _TRIAL.fullmatch(name) is not None


def is_shelf(name: str) -> bool:
    """The first two digits of the trials that lie there."""
    return re.fullmatch(r"[0-9a-f]{2}", name) is not None


def is_attempt(number: Any) -> bool:
    """A number from 1, as data."""
    return isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**9


def attempt_number(name: str) -> int | None:
    """Of a folder's name; None if it is no attempt's."""
    return int(name) if _ATTEMPT.fullmatch(name) else None


def is_run(name: Any) -> bool:
    """One printable path component that is not hidden."""
    if not isinstance(name, str) or not 0 < len(name) <= 255:
        return False
    return name.isprintable() and not name.startswith(".") and not set(name) & set("/\\")


def scratch_writer(name: str) -> int | None:
    """The process that was writing a temporary file; None if it is no such file's name."""
    found = _SCRATCH.fullmatch(name)
    return int(found[1]) if found else None
