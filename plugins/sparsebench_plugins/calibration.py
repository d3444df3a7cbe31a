"""The trainer of `sparsebench doctor --calibrate`, which allocates known memory instead of
training.

Free of heavy imports.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from sparsebench.core.metric import Metric

if TYPE_CHECKING:
    from sparsebench.core.training.work import Result, Work

METRIC = Metric("calibration_floor_bytes", "bytes", "ratio")

SPIKE = 0.1
"""Seconds that a spike lasts."""

SEEN = 1.2
"""Seconds for which a child keeps its memory, so that the supervisor samples it more than twice."""


@dataclass(frozen=True)
class Calibration:
    """Allocate memory and write every byte of it. No network is built, so that nothing else is
    measured.

    how  held: keep the memory until the end; spike: free it after 100 ms; child: a child process
         allocates it; killed: the process is killed while it has the memory
    mib  MiB to allocate
    """

    how: Literal["held", "spike", "child", "killed"] = "held"
    mib: Annotated[int, Interval(gt=0)] = 100

    def run(self, work: Work) -> Result:
        from sparsebench.core.training.work import Result

        measures: dict[str, float | int | None] = {}
        with work.meter.phase("train"):
            if self.how == "child":
                measures[METRIC.name] = self._in_a_child()
            else:
                held = self._touched()
                time.sleep(SPIKE)
                if self.how == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.how == "spike":
                    del held
                    time.sleep(SPIKE)
        return Result(measures=measures, layers=[], network=None)  # type: ignore[arg-type]

    def _touched(self) -> object:
        """An array of ones, because the system would not allocate memory for zeros."""
        import numpy as np

        return np.ones(self.mib * 2**20, dtype=np.uint8)

    def _in_a_child(self) -> int:
        """Let a fork of this process allocate the memory. Returns the bytes that the two processes
        held together before; they share nearly all of them."""
        from sparsebench.core.worker.memory import total_pss

        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.read(reader, 1)
                held = self._touched()
                time.sleep(SEEN)
                code = 0 if held is not None else 1
            finally:
                os._exit(code)
        floor = total_pss([os.getpid(), child])
        os.write(writer, b"!")
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError(f"the child did not get its {self.mib} MiB")
        return floor
