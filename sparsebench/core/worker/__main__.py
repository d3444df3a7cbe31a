"""The process of one trial, or one of several that mpiexec started together:
`python -m sparsebench.core.worker`, a job on stdin, of the first of several.

The host, or the guard, starts first: from then on the process dies with its supervisor, whatever
hangs. Then the process joins the control group made for it, if there is one, before it takes
memory, and denormals become zero, before anything that starts threads is imported.
"""

from __future__ import annotations

import json
import os
import sys

from sparsebench.core.worker import denormals, guard, host, mpiexec


def main() -> int:
    several = os.environ.pop(mpiexec.PROCESSES, "1") != "1" and not mpiexec.missing()
    if several:
        from sparsebench.core.worker import rank_monitor

        rank = rank_monitor.start()
    elif host.HERE:
        host.start()
    else:
        guard.start()
    guard.join_group()
    denormals.flush_to_zero()
    if several:
        from sparsebench.core.worker.rank_attempt import attempt_together

        return attempt_together(rank)
    from sparsebench.core.job import Job
    from sparsebench.core.worker.attempt import attempt

    return attempt(Job.from_json(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    sys.exit(main())
