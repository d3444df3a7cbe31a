"""The parallel trainers under mpiexec: what the processes check is in parallel_ranks.py."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparsebench.core.worker.mpi import SHARING as CROWDED
from sparsebench.core.worker.mpi import found

SCRIPT = Path(__file__).parent / "parallel_ranks.py"

ANY = (
    "synchronous_is_sequential_on_the_union",
    "asynchronous_takes_every_batch_once",
    "only_values_travel_while_the_topology_stands",
    "a_loss_that_is_not_finite_ends_all",
    "a_loss_that_is_not_finite_when_alone_ends_all",
    "as_published_runs_a_pass_more",
    "what_cannot_be_is_refused",
)
HELPERS = {
    "PYTHONPATH": os.pathsep.join(
        filter(
            None, [str(SCRIPT.parents[1] / "core" / "training"), os.environ.get("PYTHONPATH", "")]
        )
    )
}
"""Where `small.py` is."""

SCENARIOS = {
    "2, some": ("one_worker_is_sequential", "asynchronous_takes_every_batch_once", ANY[3]),
    2: ("one_worker_is_sequential", "what_was_overwritten_is_the_masters", *ANY),
    3: ("synchronous_repeats_itself", *ANY),
    5: ANY,  # a master and four workers: more processes than small machines have cores
}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or found() is None,
    reason="needs mpi4py and mpiexec: pip install 'sparsebench[mpi]'",
)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", SCENARIOS)
def test_all_scenarios_pass(ranks: int | str) -> None:
    """In one start of so many processes, one thread each."""
    done = subprocess.run(
        [str(found()), "-n", str(ranks)[0], sys.executable, str(SCRIPT), *SCENARIOS[ranks]],
        env={**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **CROWDED, **HELPERS},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    passed = [line.removeprefix("passed ") for line in done.stdout.splitlines()]
    assert passed == [*SCENARIOS[ranks]], done.stderr[-4000:]
    assert done.returncode == 0, done.stderr[-4000:]
