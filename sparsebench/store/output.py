"""The one way to write a file that a command line names, as with `-o`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sparsebench.core.files import replacing
from sparsebench.errors import SparsebenchError


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """A stream to `path`, whose folder is made. SparsebenchError, in a line, if it fails.

    A regular file is replaced in one step at the end of the block. Anything else (a link, a pipe,
    a device such as /dev/null) is written through, because replacing it would remove it.
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
