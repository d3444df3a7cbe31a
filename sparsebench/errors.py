"""Errors that a user can correct, each with its exit code.

Each becomes one line on stderr. Any other exception is a bug, keeps its traceback and ends with
exit code 70.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SparsebenchError(Exception):
    """A mistake of the user. The message is one line: where it is, what is wrong, which values are
    known, and what to do."""

    exit_code = 2


class SuiteError(SparsebenchError):
    """A suite file, or a value for it on the command line, is invalid."""


class PluginError(SparsebenchError):
    """A plugin is unusable: a name registered twice, a failed import, an unknown name."""


class DataError(SparsebenchError):
    """A data set exists but is unusable: truncated, NaN, wrong shapes or checksum."""


class DataChanged(DataError):
    """A data set is no longer the one of the trial. The record of this failure is never reused."""


class MissingData(DataError):
    """A data set is missing. The trial is recorded as skipped.

    command  downloads it; if empty, the message says what to do
    """

    def __init__(self, message: str, command: str = "") -> None:
        super().__init__(f"{message}; get it with: {command}" if command else message)
        self.command = command


class Unsupported(SparsebenchError):
    """A component cannot do what the trial needs. The trial is recorded as unsupported."""


class StoreError(SparsebenchError):
    """The result store cannot be read or written."""


class GateError(SparsebenchError):
    """A gate of `compare`, in a file or on the command line, is invalid."""


class NothingMatched(SparsebenchError):
    """Nothing was selected, or nothing was found."""

    exit_code = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest match, then all known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Known: {', '.join(names) or 'none'}"


def shown(value: object) -> str:
    """A value for a message, in at most 80 characters of one line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + " ..."


def printable(text: str) -> str:
    """Foreign text as one line with control characters escaped, so that escape sequences and
    marks that reorder text have no effect on a terminal."""
    return escape_unprintable(" ".join(text.split()))


def printable_lines(text: str) -> str:
    """Foreign text with control characters escaped in each line."""
    return "\n".join(map(escape_unprintable, text.rstrip().expandtabs().splitlines()))


def escape_unprintable(line: str) -> str:
    """A line with control characters, escape sequences and marks that reorder text escaped;
    spaces are kept."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
