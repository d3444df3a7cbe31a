"""The process of one trial: `python -m sparsebench.execution.worker`, a job on stdin.

The guard starts first: from then on the process dies with its supervisor, whatever hangs. Then
the process joins the control group made for it, if there is one, before it takes memory, and
denormals become zero, before anything that starts threads is imported.
"""

from __future__ import annotations

import json
import sys

from sparsebench.execution import denormals, guard


def main() -> int:
    guard.start()
    guard.join_group()
    denormals.flush_to_zero()
    from sparsebench.execution.attempt import attempt
    from sparsebench.execution.job import Job

    return attempt(Job.from_json(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    sys.exit(main())
