"""`sparsebench` in a process whose clock is N seconds behind: clock_set_back.py N run ..."""

from __future__ import annotations

import datetime as calendar
import sys
import time
from typing import Any

BEHIND = float(sys.argv[1])


class Earlier(calendar.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().now(tz) - calendar.timedelta(seconds=BEHIND)


def main() -> None:
    calendar.datetime = Earlier  # type: ignore[misc]
    real = time.time
    time.time = lambda: real() - BEHIND  # type: ignore[assignment]
    from sparsebench.cli import main as sparsebench

    sys.argv = ["sparsebench", *sys.argv[2:]]
    sparsebench()


if __name__ == "__main__":
    main()
