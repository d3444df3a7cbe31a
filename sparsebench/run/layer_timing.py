"""Timing backends for `sparsebench plan --measure`, in processes like those of trials."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sparsebench.core.job import RATES, Job
from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins
from sparsebench.run.kernel_cache import PATIENCE, compiled_code
from sparsebench.run.planning.outline import outline
from sparsebench.run.planning.prediction import Rates, timing_jobs


def _read_rates(folder: Path) -> list[Rates]:
    """What the process left; nothing if it failed."""
    try:
        return [Rates.from_json(one) for one in json.loads((folder / RATES).read_text())]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def measured_rates(
    trials: Sequence[Trial], plugins: Plugins, data_dir: Path
) -> dict[str, list[Rates]]:
    """Time what these trials use now, outside of any run, without limits; nothing for those whose
    parts are not declared."""
    from sparsebench.run.supervisor import PERIOD, Supervised

    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        known = [(trial, of) for trial in trials if (of := outline(trial, plugins)) is not None]
        for number, (key, timing) in enumerate(timing_jobs(known).items()):
            folder = Path(scratch, str(number))
            job = Job(
                trial=replace(timing.trial, timeout=PATIENCE, memory_limit=None),
                ladders=timing.ladders,
                folder=folder,
                data_dir=data_dir,
                plugin_files=plugins.files,
                numba_cache=compiled_code(timing.trial, plugins),
            )
            handle = Supervised(job)
            try:
                while handle.poll() is None:
                    time.sleep(PERIOD)
            finally:
                handle.stop(kill=True)
            found[key] = _read_rates(folder)
    return found
