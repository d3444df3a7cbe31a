"""`sparsebench` in a process whose disk becomes full: from the n-th call of a kind on, every call
of that kind fails with ENOSPC.

    python full_disk.py CALL N HAPPENED run SUITE ...

CALL is write, fsync, replace, mkdir or open (for writing). HAPPENED is a file made when the first
call has failed. Only what goes to a store is counted: the rest of the system has room.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

CALL, AT, HAPPENED = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])

seen = 0


def in_store(place: object) -> bool:
    if isinstance(place, int):
        try:
            place = os.readlink(f"/proc/self/fd/{place}")
        except OSError:
            return False
    return "/store" in os.fspath(place)  # type: ignore[call-overload]


def failing(real: Any) -> Any:
    def call(place: Any, *more: Any, **named: Any) -> Any:
        global seen
        if in_store(place):
            seen += 1
            if seen >= AT:
                HAPPENED.touch()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), None)
        return real(place, *more, **named)

    return call


def failing_open(real: Any) -> Any:
    inner = failing(real)

    def call(place: Any, mode: Any = "r", *more: Any, **named: Any) -> Any:
        writes = set(str(mode)) & set("wax+") if isinstance(mode, str) else mode & os.O_WRONLY
        return (inner if writes else real)(place, mode, *more, **named)

    return call


def main() -> None:
    touch = HAPPENED.touch  # before `open` is replaced
    HAPPENED.parent.mkdir(parents=True, exist_ok=True)
    assert touch is not None
    if CALL == "open":
        io.open = builtins.open = failing_open(builtins.open)
    else:
        setattr(os, CALL, failing(getattr(os, CALL)))
    from sparsebench.cli import main as sparsebench

    sys.argv = ["sparsebench", *sys.argv[4:]]
    sparsebench()


if __name__ == "__main__":
    main()
