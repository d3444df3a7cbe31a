"""Reading what others may have written: a regular file inside the store, and plain JSON in it.

Whatever is wrong with it becomes one StoreError that names the file. Nothing waits for a pipe,
follows a link out of the store or recurses as deep as the file asks for.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from sparsebench.errors import StoreError

T = TypeVar("T")

LARGEST = 2**28
"""Bytes of a file of JSON that is read at all; a manifest of 10^5 trials has a tenth of it."""

DEEPEST = 200
LARGEST_NUMBER = 2**64
"""Whole numbers below it fit every column, and no arithmetic on them gets slow."""

_SUSPICIOUS = re.compile(rb"[0-9]{18}|[0-9][eE]\+?[0-9]{3}|\\u[dD]")
"""Text without it holds no such number, and no half of a pair of surrogates."""


class Damaged(StoreError):
    """A file of the store is not what was written there."""


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Everything that unusable content gives rise to becomes one line that names the file."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise Damaged(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise Damaged(f"{file} cannot be read: {what}") from None


def read_object(file: Path, root: str) -> dict[str, Any]:
    """A file that holds one JSON object."""
    with reading(file):
        data = parse(read_bytes(file, root))
        if not isinstance(data, dict):
            raise ValueError("it holds no object")
    return data


def read_text(file: Path, root: str) -> str:
    with reading(file):
        return read_bytes(file, root).decode()


def read_bytes(file: Path, root: str, largest: int = LARGEST) -> bytes:
    """The content of a regular file below `root`, whose own links are resolved; OSError or
    ValueError for anything else."""
    with open_regular(file, root) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > largest:
            raise ValueError(f"{size} bytes are more than the {largest} of any such file")
        return stream.read(largest)


def open_regular(file: Path, root: str) -> BinaryIO:
    """A regular file below `root`, to be read; nothing waits for a pipe."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        if not _is_below(descriptor, file, root):
            raise ValueError("it leads out of the store")
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def parse(text: bytes) -> Any:
    """JSON without NaN, endless numbers, depth beyond DEEPEST or halves of characters."""
    try:
        data = json.loads(text.decode(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count(b"[") + text.count(b"{") > DEEPEST or _SUSPICIOUS.search(text):
        _check_plain(data)
        json.dumps(data, ensure_ascii=False).encode()  # half of a pair of surrogates has no code
    return data


def parse_lines(
    content: bytes, accept: Callable[[Any], T]
) -> tuple[list[T], list[tuple[int, str]], bool]:
    """The lines of JSONL that `accept` takes; number and reason of those that are damaged; and
    whether the last was torn: cut off before its end by a crash."""
    taken, damaged = [], []
    *lines, rest = content.split(b"\n")
    for number, line in enumerate([*lines, rest], start=1):
        if not line:
            continue
        try:
            taken.append(accept(parse(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            damaged.append((number, str(error)))
    torn = bool(rest) and bool(damaged) and damaged[-1][0] == len(lines) + 1
    return taken, damaged[:-1] if torn else damaged, torn


def _is_below(descriptor: int, file: Path, root: str) -> bool:
    """Whether what was opened lies below the root, whichever links led there."""
    try:
        real = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # no such thing on macOS
        real = os.path.realpath(file)
    return real.startswith(os.path.join(root, ""))


def _check_plain(data: Any) -> None:
    level = [data]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif (isinstance(value, float) and not math.isfinite(value)) or (
                isinstance(value, int) and abs(value) >= LARGEST_NUMBER
            ):
                raise ValueError("a number is too large")
        if not below:
            return
        level = below
    raise ValueError("it is nested too deeply")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
