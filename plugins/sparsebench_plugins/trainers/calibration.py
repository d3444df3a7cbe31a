"""Takes a known amount of memory instead of training: `sparsebench doctor --calibrate`."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import numpy.typing as npt

from sparsebench.core.training.work import Result, Work
from sparsebench.core.worker.memory import together
from sparsebench_plugins.trainers.params import CalibrationParams

MIB = 2**20

SPIKE = 0.1
"""Seconds that a spike lasts."""

SEEN = 1.2
"""Seconds that a child keeps its memory: more than two looks at a process tree."""


class Calibration(CalibrationParams):
    """`mib` MiB, every byte written. No network is built, so that nothing else is measured."""

    def run(self, work: Work) -> Result:
        measures: dict[str, float | int | None] = {}
        with work.meter.phase("train"):
            if self.how == "child":
                measures["calibration_floor_bytes"] = _in_a_child(self.mib)
            else:
                held = touched(self.mib)
                time.sleep(SPIKE)
                if self.how == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.how == "spike":
                    del held
                    time.sleep(SPIKE)
        return Result(measures=measures, layers=[], network=None)  # type: ignore[arg-type]


def touched(mib: int) -> npt.NDArray[np.uint8]:
    """Ones: zeros would be given by the kernel for nothing."""
    return np.ones(mib * MIB, dtype=np.uint8)


def _in_a_child(mib: int) -> int:
    """Have a fork of this process take `mib` MiB; bytes that the two held before, of which all
    but a little is shared."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.read(told, 1)
            held = touched(mib)
            time.sleep(SEEN)
            code = 0 if held[-1] else 1
        finally:
            os._exit(code)
    floor = together([os.getpid(), child])
    os.write(tell, b"!")
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError(f"the child did not get its {mib} MiB")
    return floor
