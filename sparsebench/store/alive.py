"""Is the process that wrote something still running? Pids are recycled, so boot and start count."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "boot": _boot(), "start": _start(os.getpid())}


def is_alive(process: Mapping[str, Any]) -> bool:
    """Whether a process described by `this_process` still runs, on this boot of this machine."""
    pid = int(process["pid"])
    if process["boot"] != _boot():
        return False
    if process["start"] is not None:
        return bool(_start(pid) == process["start"])
    return is_there(pid)


def is_there(pid: int) -> bool:
    """Whether any process of this machine has that pid now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:
        return False
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start(pid: int) -> int | None:
    """Start time in ticks since boot; None if the process has ended, or where there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in ("Z", "X") else int(fields[18])
