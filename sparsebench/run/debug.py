"""Runs a trial in this process for a debugger: nothing is isolated, exceptions are not caught."""

from __future__ import annotations

import os
import pdb
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from sparsebench import machine
from sparsebench.core.job import Job
from sparsebench.core.worker.attempt import measured, run
from sparsebench.core.worker.classify import failure
from sparsebench.core.worker.denormals import flushing_to_zero
from sparsebench.core.worker.limits import environment
from sparsebench.core.worker.meter import Meter
from sparsebench.core.worker.result_writer import ResultWriter
from sparsebench.store.provenance import impersonal
from sparsebench.store.record import utc_now


def run_here(job: Job, keep: Callable[[dict[str, Any]], object]) -> None:
    """Run the job, pass its outcome to `keep`, and raise what the trial raised.

    On a terminal, the debugger first opens at the place of the exception. Memory is that of the
    whole process, so it is marked as inexact.
    """
    if "numpy" not in sys.modules:
        os.environ.update(environment(job))
    meter = Meter()
    started, clock, cpu = utc_now(), time.monotonic(), time.process_time()

    def outcome(result: dict[str, Any]) -> dict[str, Any]:
        seconds = {
            "wall_seconds": time.monotonic() - clock,
            "cpu_seconds": time.process_time() - cpu,
        }
        return {
            "started": started,
            "ended": utc_now(),
            "machine": machine.describe(),
            **result,
            "settings": {**result["settings"], "exact": False, "memory_method": "shared process"},
            "measures": {**result.get("measures", {}), **seconds},
        }

    try:
        with flushing_to_zero():
            result = run(job, meter, ResultWriter(job.folder, meter, job.trial.epochs))
    except BaseException as error:
        failed = dict(failure(error, job.folder))
        failed["detail"] = impersonal(failed["detail"])
        keep(outcome({**failed, **measured(meter)}))
        if isinstance(error, Exception) and sys.stdin.isatty() and sys.stderr.isatty():
            traceback.print_exception(error)
            pdb.post_mortem(error.__traceback__)
        raise
    keep(outcome(result))
