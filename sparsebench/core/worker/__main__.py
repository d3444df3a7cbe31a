"""The process of one trial: `python -m sparsebench.core.worker`, with a job on stdin.

For an MPI trial mpiexec starts several; the first gets the job and shares it. The order of the
steps matters. First comes the host, guard or monitor (see `guard_processes`), so that the process
is killed when its supervisor is gone, even if it hangs; then the trial's control group, before
memory is taken; then denormals become zero, before anything that starts threads is imported.
"""

from __future__ import annotations

import json
import os
import sys

from sparsebench.core.worker import denormals, guard_processes, processes


def main() -> int:
    log = None
    if os.environ.pop(processes.PROCESSES, "1") != "1":
        from sparsebench.core.worker import mpi

        log = None if mpi.missing() else mpi.RankLog.of_this_process()
    if log is not None:
        finish = guard_processes.start_monitor(log)
    else:
        guard_processes.start()
    guard_processes.join_group()
    denormals.flush_to_zero()
    if log is not None:
        from sparsebench.core.worker.attempt import attempt_together

        return attempt_together(log, finish)
    from sparsebench.core.job import Job
    from sparsebench.core.worker.attempt import attempt

    return attempt(Job.from_json(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    sys.exit(main())
