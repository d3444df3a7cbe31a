"""Writes files that survive a crash: replaced atomically, or appended line by line."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sparsebench.errors import StoreError

_REASONS = {
    errno.ENOSPC: "the disk is full; finished trials are kept",
    errno.EDQUOT: "the disk quota is used up; finished trials are kept",
    errno.EROFS: "it is read-only; give another with --store",
    errno.EACCES: "no permission to write there; give another with --store",
    errno.EPERM: "no permission to write there; give another with --store",
    errno.ENOTDIR: "a file stands where its folder should be; give another with --store",
    errno.EEXIST: "a file stands where its folder should be; give another with --store",
}


def write_atomically(file: Path, content: str | bytes) -> None:
    with replacing(file) as stream:
        _write_all(stream.fileno(), content.encode() if isinstance(content, str) else content)


def write_first(file: Path, text: str) -> bool:
    """Write a file atomically unless it exists. Returns whether it was written."""
    try:
        with replacing(file, publish=os.link) as stream:
            stream.write(text.encode())
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def replacing(
    file: Path, publish: Callable[[Path, Path], None] | None = None
) -> Iterator[BinaryIO]:
    """A stream whose content replaces `file` at the end of the block. Even after a crash, the file
    has its old content or the new one. If the block raises, the temporary file is removed.

    publish  called with the finished temporary file and `file`, to move it there; None: os.replace
    """
    scratch = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        (publish or os.replace)(scratch, file)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
    sync_folder(file.parent)


def append_line(file: Path, data: Mapping[str, Any], *, durable: bool = False) -> None:
    """Append `data` as one line of JSON, in one write, so that lines of two writers do not mix.

    durable  return only once the line is on the disk (fsync)
    """
    line = json.dumps(jsonable(data), separators=(",", ":")) + "\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _write_all(descriptor, line.encode())
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each line. Lines that are not JSON objects are skipped, such as a
    last line that a crash cut off. Yields nothing if the file cannot be read."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(line)
            if isinstance(data, dict):
                yield data


@contextlib.contextmanager
def writing_to(store: Path) -> Iterator[None]:
    """Within the block, turn an OSError into a one-line StoreError that names the store and the
    reason."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"cannot write to the store {store}: {reason}") from error


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def sync_folder(folder: Path) -> None:
    """Make renames in the folder durable (fsync). Errors are ignored, as not every file system can
    do this."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def jsonable(value: Any) -> Any:
    """The value as JSON data: floats that JSON lacks become "nan", "inf" and "-inf", numpy's
    scalars Python's numbers, keys text, and tuples lists. Does not import numpy."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value
