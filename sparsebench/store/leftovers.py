"""What killed processes leave in a store: harmless, and nobody's any more."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sparsebench.store import alive
from sparsebench.store.names import TOP, scratch_writer


def leftovers(store: Path) -> Iterator[Path]:
    """Temporary files and folders whose writer is gone. No link is followed."""
    for folder, folders, files in os.walk(store):
        if Path(folder) == store:
            folders[:] = [name for name in folders if name in TOP]
        for name in sorted([*folders, *files]):
            path = Path(folder) / name
            writer = scratch_writer(name)
            if writer is not None and not path.is_symlink() and not alive.is_there(writer):
                yield path
        folders[:] = [name for name in folders if scratch_writer(name) is None]


def remove_leftovers(store: Path) -> int:
    """How many there were; one that cannot be removed stays."""
    removed = 0
    for path in list(leftovers(store)):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed += 1
    return removed
