"""Reads files that others may have written, and writes files that a command line names.

Only a regular file inside the store with plain JSON is accepted; anything else is a StoreError that
names it. Reading never blocks on a pipe and never follows a link out of the store, and the depth of
nesting is limited.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from sparsebench.core.files import replacing
from sparsebench.errors import SparsebenchError, StoreError
from sparsebench.pydantic_errors import complaint

T = TypeVar("T")

OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

LARGEST = 2**28
"""Largest JSON file in bytes that is read; a manifest of 10^5 trials has a tenth of that."""

LARGEST_NUMBER = 2**64
"""Whole numbers must be smaller, so that they fit every column."""

_SUSPICIOUS = re.compile(rb"(?<![.0-9])[0-9]{19}|[0-9][eE]\+?[0-9]{3}|NaN|Infinity")
"""Text without a match contains no number that is too large and none that JSON lacks."""


class Damaged(StoreError):
    """A file of the store does not have the content that was written."""


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn every error in the block about an unusable file into a Damaged of one line that names
    the file. A StoreError passes unchanged."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise Damaged(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{file} cannot be read: {error}") from None


def read_json(file: Path, root: str, form: TypeAdapter[T]) -> T:
    """Read a JSON file below `root` of this form; Damaged for anything else."""
    with reading(file):
        return parse(read_bytes(file, root), form)


def read_object(file: Path, root: str) -> dict[str, Any]:
    """Read a file that holds one JSON object of any form."""
    return read_json(file, root, OBJECT)


def read_lines(
    file: Path, root: str, form: TypeAdapter[T], largest: int = LARGEST
) -> tuple[list[T], list[tuple[int, str]], bool]:
    """Read a JSONL file of at most `largest` bytes. Returns the sound lines; number and reason of
    each damaged line; and whether the last line is incomplete, as after a crash. A missing file
    counts as empty."""
    if not os.path.lexists(file):
        return [], [], False
    sound, damaged = [], []
    with reading(file):
        content = read_bytes(file, root, largest)
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line:
            try:
                sound.append(parse(line, form))
            except ValueError as error:
                damaged.append((number, str(error)))
    torn = bool(damaged) and damaged[-1][0] == len(lines)
    return sound, damaged[:-1] if torn else damaged, torn


def _number(text: str) -> None:
    """Raise ValueError for a number that is too large for a column, or that JSON lacks (NaN)."""
    if text[-1].isalpha():
        raise ValueError(f"{text} is not JSON")
    if abs(float(text)) >= (LARGEST_NUMBER if text.lstrip("-").isdecimal() else math.inf):
        raise ValueError("a number is too large")


def parse(text: bytes, form: TypeAdapter[T]) -> T:
    """Parse JSON of this form. Raises a one-line ValueError for another form, and for numbers
    that are too large or that JSON lacks. pydantic limits the depth and refuses lone surrogates."""
    try:
        if _SUSPICIOUS.search(text):
            json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_number)
        return form.validate_json(text)
    except ValidationError as error:
        raise ValueError(complaint(error, table="an object")) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_bytes(file: Path, root: str, largest: int = LARGEST) -> bytes:
    """Read a regular file below `root`, a resolved path. Raises OSError or ValueError if it is
    not one, leads out of `root` or is larger than `largest` bytes."""
    with open_regular(file, root) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > largest:
            raise ValueError(f"{size} bytes are more than the {largest} of any such file")
        return stream.read(largest)


def open_regular(file: Path, root: str) -> BinaryIO:
    """Open a regular file below `root` for reading, without ever waiting for a pipe. Raises OSError
    or ValueError for anything else."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        try:  # where the open file really is, whichever links led there
            real = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # macOS has no /proc
            real = os.path.realpath(file)
        if not real.startswith(os.path.join(root, "")):
            raise ValueError("it leads out of the store")
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """A stream to `path`, whose folder is created. Raises a one-line SparsebenchError on failure.

    A regular file is replaced in one step at the end of the block. Anything else (a link, a pipe, a
    device such as /dev/null) is written through, because replacing it would remove it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_through = path.is_symlink() or (path.exists() and not path.is_file())
        with path.open("wb") if write_through else replacing(path) as stream:
            yield stream
    except OSError as error:
        raise SparsebenchError(f"cannot write {path}: {error.strerror or error}") from error


def write_output(path: Path, content: str | bytes) -> None:
    with output_file(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
