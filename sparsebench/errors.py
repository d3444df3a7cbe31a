"""Errors that a user can correct, each with the exit code it ends in.

Every one of these becomes one line on stderr. Anything else that escapes is our
own mistake, keeps its traceback and ends in exit code 70.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SparsebenchError(Exception):
    """A mistake of the user, in one line: where, what, what is known, what next."""

    exit_code = 2


class SuiteError(SparsebenchError):
    """A suite file, or a value for it on the command line, is not usable."""


class PluginError(SparsebenchError):
    """A plugin is not usable: a name registered twice, a failed import, an unknown name."""


class DataError(SparsebenchError):
    """A data set is there but is not usable: truncated, NaN, wrong shapes or checksum."""


class DataChanged(DataError):
    """A data set is no longer the one that a trial names. Such a record is never reused."""


class MissingData(DataError):
    """A data set is not there. The trial is recorded as skipped.

    command  gets it; without one, the message says what to do
    """

    def __init__(self, message: str, command: str = "") -> None:
        super().__init__(f"{message}; get it with: {command}" if command else message)
        self.command = command


class Unsupported(SparsebenchError):
    """A component cannot do what the trial needs. The trial is recorded as unsupported."""


class StoreError(SparsebenchError):
    """The result store cannot be read or written."""


class GateError(SparsebenchError):
    """A gate of `compare`, in a file or on the command line, is not usable."""


class NothingMatched(SparsebenchError):
    """A selection selected nothing."""

    exit_code = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of an "unknown" message: the nearest match, then all that is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Known: {', '.join(names) or 'none'}"


def printable(text: str) -> str:
    """Text from elsewhere as one line, with control characters escaped: escape sequences and marks
    that reorder text do nothing on a terminal."""
    return spelt_out(" ".join(text.split()))


def printable_lines(text: str) -> str:
    """Text from elsewhere with control characters escaped in each of its lines."""
    return "\n".join(map(spelt_out, text.rstrip().expandtabs().splitlines()))


def spelt_out(line: str) -> str:
    """A line with control characters, escape sequences and marks that reorder text escaped; its
    spaces stay as they are."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
