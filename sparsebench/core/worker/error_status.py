"""From an exception to how an attempt failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from sparsebench.core.status import Status
from sparsebench.core.worker.classify import End, classify
from sparsebench.errors import MissingData, SparsebenchError, Unsupported

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class ProcessEnded(Exception):
    """A process that a trainer started is gone: by a signal, or without a word.

    code  its exit code; the negative number of the signal that ended it
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def failure(error: BaseException, folder: Path) -> Mapping[str, str]:
    """Status, cause and detail of an exception. That the disk of the attempt's folder failed
    says nothing of the trial: it is interrupted, and runs again."""
    if isinstance(error, KeyboardInterrupt):
        return {"status": Status.INTERRUPTED, "cause": "", "detail": "stopped before its end"}
    kind = type(error).__name__
    line = (str(error).strip().splitlines() or [""])[-1]
    if any(out_of_memory(link) for link in chain(error)):
        return {"status": Status.OUT_OF_MEMORY, "cause": "alloc", "detail": f"{kind}: {line}"}
    refused = disk_failure(error, folder)
    if refused is not None:
        detail = f"the disk of {folder} failed: {refused.strerror}"
        return {"status": Status.INTERRUPTED, "cause": "", "detail": detail}
    if isinstance(error, ProcessEnded):
        status, cause, _ = classify(End(code=error.code))
        return {"status": status, "cause": cause, "detail": str(error)}
    if isinstance(error, MissingData):
        return {"status": Status.SKIPPED, "cause": "", "detail": str(error)}
    if isinstance(error, Unsupported):
        return {"status": Status.UNSUPPORTED, "cause": "", "detail": str(error)}
    if isinstance(error, SparsebenchError):
        return {"status": Status.ERROR, "cause": kind, "detail": str(error)}
    return {"status": Status.ERROR, "cause": kind, "detail": line}


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )


def disk_failure(error: BaseException, folder: Path) -> OSError | None:
    """The link of an exception's chain that tells of a failed disk, if it is not that of a file
    elsewhere."""
    for link in chain(error):
        if isinstance(link, OSError) and link.errno in DISK_ERRORS:
            file = link.filename
            if not isinstance(file, str | os.PathLike) or Path(file).is_relative_to(folder):
                return link
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those it came from: kernels wrap a MemoryError in a SystemError."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        link = pending.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            pending += [link.__cause__, link.__context__]
