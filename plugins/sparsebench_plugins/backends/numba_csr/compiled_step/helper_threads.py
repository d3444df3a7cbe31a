"""The helper threads of a process: Python threads that stay in compiled code, without the GIL.

What they execute, and how long they spin before they sleep, is in `work_sharing`.
"""

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
from sparsebench_plugins.backends.numba_csr.compiled_step import work_sharing


@dataclass
class Hold:
    """The exclusive use of the helpers by a running program.

    control  address of the control block
    helped   whether there are helpers
    serial   number of the next phase
    """

    control: int
    helped: bool
    serial: int


class Helpers:
    """The helper threads: one fewer than the number set by numba's `set_num_threads`, because the
    calling thread works too.

    They sleep while no program runs. A forked child does not inherit them and starts its own.
    """

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.stop)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._new_block()
        self._threads: list[threading.Thread] = []

    def _new_block(self) -> None:
        self._block = work_sharing.control_block()
        self._address = int(self._block.ctypes.data)
        self._serial = 0

    def __len__(self) -> int:
        return len(self._threads)

    @contextmanager
    def held(self) -> Iterator[Hold]:
        """Reserve the helpers for a `with` block. If another thread has them, the caller works
        alone."""
        mine = self._lock.acquire(blocking=False)
        try:
            wanted = numba.get_num_threads() - 1 if mine else 0
            if mine and wanted != len(self._threads):
                self._resize(wanted)
            block = self._block if mine else work_sharing.control_block()
            hold = Hold(block.ctypes.data, wanted > 0, self._serial)
            yield hold
            if mine:
                self._serial = hold.serial
        finally:
            if mine:
                self._lock.release()

    def _resize(self, count: int) -> None:
        self.stop()
        self._new_block()
        for number in range(count):
            thread = threading.Thread(
                target=work_sharing.help_out,
                args=(self._address,),
                name=f"sparsebench-helper-{number + 1}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    def flush(self) -> bool | None:
        """Whether all helper threads treat denormals as zero and produce none; None if there are no
        helper threads. Waits until all of them have started."""
        count = len(self._threads)
        while work_sharing.started(self._address) < count:
            time.sleep(0.001)
        return work_sharing.flushing(self._address) == count if count else None

    def stop(self) -> None:
        """End the threads and wait for them."""
        if self._threads:
            work_sharing.stop_helpers(self._address)
            for thread in self._threads:
                thread.join()
            self._threads = []


HELPERS = Helpers()
denormals.POOLS["helpers"] = HELPERS.flush
