"""A trial in this process, for a debugger: nothing is isolated, exceptions come through."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from sparsebench import machine
from sparsebench.execution.attempt import failure, run
from sparsebench.execution.job import Job
from sparsebench.execution.limits import environment
from sparsebench.execution.meter import Meter
from sparsebench.execution.outbox import Outbox
from sparsebench.execution.supervisor import utc_now
from sparsebench.records.provenance import impersonal


def run_here(job: Job, keep: Callable[[dict[str, Any]], object]) -> None:
    """Run the job and `keep` its outcome; then raise what the trial raised, if it did."""
    if "numpy" not in sys.modules:
        os.environ.update(environment(job))
    meter = Meter()
    started, clock, cpu = utc_now(), time.monotonic(), time.process_time()

    def outcome(result: dict[str, Any]) -> dict[str, Any]:
        seconds = {
            "wall_seconds": time.monotonic() - clock,
            "cpu_seconds": time.process_time() - cpu,
        }
        told = {"started": started, "ended": utc_now(), "machine": machine.describe(), **result}
        return {**told, "measures": {**result.get("measures", {}), **seconds}}

    try:
        result = run(job, meter, Outbox(job.folder, meter, job.trial.epochs))
    except BaseException as error:
        failed = dict(failure(error))
        failed["detail"] = impersonal(failed["detail"])
        keep(outcome({**failed, "phases": meter.phases}))
        raise
    settings = {**result["settings"], "exact": False, "memory_method": "shared process"}
    keep(outcome({**result, "settings": settings}))
