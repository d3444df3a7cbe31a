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
from sparsebench.run.planning.predict import outline
from sparsebench.run.planning.rates import Errand, Rates, errand_key, errands

"""What a process that times layers leaves in its folder."""

Run = Callable[[Job], object]
"""Runs a job to its end."""


WORTH_TIMING = 1e9
"""Connections times samples of a trial, a second or less: timing a backend takes longer."""


def surveys(
    trials: Sequence[Trial], plugins: Plugins, least: float = WORTH_TIMING
) -> dict[str, Errand]:
    """What to time for these trials; nothing for those whose parts are not declared, nor where
    every trial of a kind is smaller than `least`."""
    known = [(trial, of) for trial in trials if (of := outline(trial, plugins)) is not None]
    large = {errand_key(trial) for trial, of in known if of.work >= least}
    return errands([(trial, of) for trial, of in known if errand_key(trial) in large])


def survey_job(errand: Errand, job: Job) -> Job:
    """The job that times what `errand` asks for, made of one for its trial; without limits."""
    free = replace(job.trial, timeout=PATIENCE, memory_limit=None)
    return replace(job, trial=free, ladders=errand.ladders)


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
        for number, (key, errand) in enumerate(surveys(trials, plugins, least=0).items()):
            folder = Path(scratch, str(number))
            job = Job(
                trial=errand.trial,
                folder=folder,
                data_dir=data_dir,
                plugin_files=plugins.files,
                numba_cache=compiled_code(errand.trial, plugins),
            )
            handle = Supervised(survey_job(errand, job))
            try:
                while handle.poll() is None:
                    time.sleep(PERIOD)
            finally:
                handle.stop(kill=True)
            found[key] = read_rates(folder)
    return found
