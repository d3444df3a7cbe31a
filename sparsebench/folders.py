"""The folders for data sets, and for data and compiled code that are kept between runs."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from sparsebench.errors import SparsebenchError


def cache_directory() -> Path:
    """The user's cache for data sets and compiled code: `SPARSEBENCH_CACHE`, else sparsebench below
    `XDG_CACHE_HOME` or ~/.cache.

    Without a home folder it is below the temporary folder. Compiled code is loaded from it, so that
    folder is refused with a SparsebenchError if another user made it or may write to it.
    """
    chosen = os.environ.get("SPARSEBENCH_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen)).resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "sparsebench"
    with contextlib.suppress(RuntimeError):  # no HOME, and no entry for the user: a bare number
        return Path.home() / ".cache" / "sparsebench"
    folder = Path(tempfile.gettempdir()) / f"sparsebench-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
    if os.path.lexists(folder):
        found = folder.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not mine or found.st_mode & 0o022:
            raise SparsebenchError(
                f"{folder} is not a folder that only this user can write to; there is no home "
                "folder either: set SPARSEBENCH_CACHE to a folder for compiled code and data"
            )
    return folder


def data_directory(folder: Path | None = None) -> Path:
    """The data directory: `folder`, else `SPARSEBENCH_DATA`, else in the user's cache."""
    chosen = folder if folder is not None else os.environ.get("SPARSEBENCH_DATA")
    return Path(os.path.expanduser(chosen)).resolve() if chosen else cache_directory() / "data"
