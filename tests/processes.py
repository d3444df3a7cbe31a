"""The processes of a trial that live, as the system tells."""

from __future__ import annotations

import psutil

from sparsebench.core.worker import processes


def marked(word: str) -> list[int]:
    """Those whose environment bears the mark of a trial."""
    return [
        process.pid
        for process in psutil.process_iter(["environ", "status"])
        if (process.info["environ"] or {}).get(processes.MARK) == word
        and process.info["status"] not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    ]
