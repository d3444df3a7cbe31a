"""Having backends timed before the trials that use them, in processes like theirs."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.core.worker.file_names import RATES
from sparsebench.registry import Plugins
from sparsebench.run.kernel_cache import PATIENCE, compiled_code
from sparsebench.run.planning.outline import outline
from sparsebench.run.planning.prediction import Rates, TimingJob, timing_jobs, timing_key

"""What a process that times layers leaves in its folder."""

Run = Callable[[Job], object]
"""Runs a job to its end."""


WORTH_TIMING = 1e9
"""Connections times samples of a trial, a second or less: timing a backend takes longer."""


def surveys(
    trials: Sequence[Trial], plugins: Plugins, least: float = WORTH_TIMING
) -> dict[str, TimingJob]:
    """What to time for these trials; nothing for those whose parts are not declared, nor where
    every trial of a kind is smaller than `least`."""
    known = [(trial, of) for trial in trials if (of := outline(trial, plugins)) is not None]
    large = {timing_key(trial) for trial, of in known if of.work >= least}
    return timing_jobs([(trial, of) for trial, of in known if timing_key(trial) in large])


def survey_job(timing: TimingJob, job: Job) -> Job:
    """The job that times what `timing` asks for, made of one for its trial; without limits."""
    free = replace(job.trial, timeout=PATIENCE, memory_limit=None)
    return replace(job, trial=free, ladders=timing.ladders)


def read_rates(folder: Path) -> list[Rates]:
    """What the process left; nothing if it failed."""
    try:
        return [Rates.from_json(one) for one in json.loads((folder / RATES).read_text())]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def survey(trials: Sequence[Trial], plugins: Plugins, data_dir: Path) -> dict[str, list[Rates]]:
    """Time what these trials use now, outside of any run."""
    from sparsebench.run.supervisor import PERIOD, Supervised

    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, (key, timing) in enumerate(surveys(trials, plugins, least=0).items()):
            folder = Path(scratch, str(number))
            job = Job(
                trial=timing.trial,
                folder=folder,
                data_dir=data_dir,
                plugin_files=plugins.files,
                numba_cache=compiled_code(timing.trial, plugins),
            )
            handle = Supervised(survey_job(timing, job))
            try:
                while handle.poll() is None:
                    time.sleep(PERIOD)
            finally:
                handle.stop(kill=True)
            found[key] = read_rates(folder)
    return found
