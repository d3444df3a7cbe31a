"""The helper threads of a process: Python threads that stay in compiled code, without the GIL."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numba

from sparsebench.core.worker import denormals
from sparsebench_plugins.backends.numba_csr.step import driver


@dataclass
class Hold:
    """A program's hold on the helpers while it runs.

    control  address of the control block     helped  whether there are helpers
    serial   number of the next phase
    """

    control: int
    helped: bool
    serial: int


class Helpers:
    """Threads beside the calling one, as many as numba's `set_num_threads` leaves it.

    They sleep while no program runs. A forked child has none of them and starts its own.
    """

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.stop)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._block = driver.control_block()
        self._threads: list[threading.Thread] = []
        self._serial = 0

    @contextmanager
    def held(self) -> Iterator[Hold]:
        """Hold the helpers; if another thread holds them, the caller works alone."""
        mine = self._lock.acquire(blocking=False)
        try:
            wanted = numba.get_num_threads() - 1 if mine else 0
            if mine and wanted != len(self._threads):
                self._resize(wanted)
            block = self._block if mine else driver.control_block()
            hold = Hold(block.ctypes.data, wanted > 0, self._serial)
            yield hold
            if mine:
                self._serial = hold.serial
        finally:
            if mine:
                self._lock.release()

    def _resize(self, count: int) -> None:
        self.stop()
        self._block = driver.control_block()
        self._serial = 0
        for number in range(count):
            thread = threading.Thread(
                target=driver.help_out,
                args=(self._block.ctypes.data,),
                name=f"sparsebench-helper-{number + 1}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    def flush(self) -> bool:
        """Whether all of them take denormals for zeros, and make none."""
        with self.held() as hold:
            while hold.helped and driver.started(hold.control) < len(self._threads):
                time.sleep(0.001)
            return not hold.helped or driver.flushing(hold.control) == len(self._threads)

    def stop(self) -> None:
        """End the threads and wait for them."""
        if self._threads:
            driver.stop_helpers(self._block.ctypes.data)
            for thread in self._threads:
                thread.join()
            self._threads = []


HELPERS = Helpers()
denormals.POOLS["helpers"] = HELPERS.flush
