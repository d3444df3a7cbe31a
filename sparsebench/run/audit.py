"""Probe backends for hidden dense work: the jobs, evidence kept for later runs, and the verdict.

A backend is probed before the trials that use it, once for each machine and version of its code.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.analysis.honesty import audited, claim_of, judge
from sparsebench.core.audit.evidence import SIDES, Evidence, Sizes, sizes_for
from sparsebench.core.files import write_atomically
from sparsebench.core.job import Job
from sparsebench.core.sizes import SizedOptimizer
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial, canonical, digest
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.cores import team_of
from sparsebench.run.fingerprint import code_of
from sparsebench.run.kernel_cache import without_magnitudes
from sparsebench.store.record import SIMULATED

PATIENCE = 120.0
"""Seconds for a probe, imports included; one takes two to six."""

LIBRARIES = 256 * 2**20
"""Bytes of a process's memory limit that libraries need, and layers cannot have."""

MOST_MEMORY = 3 * 2**30
"""Bytes that a probe may use at most, however much there is."""

Found = Evidence | str
"""The evidence of a probe, or why there is none."""


@dataclass(frozen=True)
class ProbeJob:
    """A backend to probe: a trial that uses it, and the sizes of layers; None if none fit."""

    trial: Trial
    sizes: Sizes | None


def probe_key(trial: Trial) -> str:
    """A key that is equal for trials which one probe serves. The optimizer's magnitudes are left
    out, because a probe does not see them."""
    sizes = sizes_for(MOST_MEMORY, trial.batch_size)
    batch = sizes.batch if sizes is not None else 0
    return canonical([trial.backend, without_magnitudes(trial.optimizer), trial.threads, batch])


def probe_jobs(trials: Sequence[Trial], plugins: Plugins) -> dict[str, ProbeJob]:
    """The probes for these trials, by `probe_key`; none where the optimizer does not declare its
    state. A backend that says it simulates gets smaller layers: they are enough to agree."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if isinstance(plugins.parameters("optimizer", trial.optimizer), SizedOptimizer):
            groups.setdefault(probe_key(trial), []).append(trial)
    jobs = {}
    for key, (trial, *others) in groups.items():
        limits = [t.memory_limit for t in (trial, *others) if t.memory_limit is not None]
        room = min([machine.available_memory() // 2, MOST_MEMORY, *limits]) - LIBRARIES
        largest = SIDES[1] if claim_of(trial.backend, plugins) == SIMULATED else SIDES[0]
        jobs[key] = ProbeJob(trial, sizes_for(room, trial.batch_size, largest=largest))
    return jobs


def audit_job(probe: ProbeJob, job: Job) -> Job:
    """The job that probes, made from one for its trial, within memory that the machine can
    spare."""
    room = min(machine.available_memory() // 2, MOST_MEMORY)
    trial = replace(probe.trial, timeout=PATIENCE, memory_limit=room)
    return replace(job, trial=trial, probe=probe.sizes)


def read_evidence(file: Path) -> Evidence | None:
    """The evidence in a file; None if there is no file, or it is not whole."""
    try:
        return Evidence.from_json(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def why_no_evidence(outcome: Mapping[str, Any]) -> str:
    """Why a probe left no evidence, in words."""
    words = [str(outcome.get(key) or "") for key in ("status", "cause", "detail")]
    return " ".join(["the probe ended", *filter(None, words)])


def kept_file(probe: ProbeJob, plugins: Plugins, versions: Mapping[str, str]) -> Path:
    """The file in the cache for the evidence, named by everything that decides it."""
    decisive = [
        probe_key(probe.trial),
        probe.sizes.to_json() if probe.sizes is not None else None,
        probe.trial.huge_pages,
        code_of(probe.trial, plugins, ("backend", "optimizer")),
        dict(versions),
        machine.describe()["id"],
    ]
    return machine.cache_directory() / "audits" / f"{digest(decisive, 8)}.json"


def keep(file: Path, evidence: Evidence) -> None:
    """Keep evidence for later runs; a cache that cannot be written costs them a few seconds."""
    with contextlib.suppress(OSError, SparsebenchError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(evidence.to_json()))


def audit_of(
    trial: Trial, outcome: Mapping[str, Any], found: Found | None, plugins: Plugins
) -> dict[str, Any]:
    """The `audit` of a record; empty for a trial that never ran."""
    if outcome.get("status") in (Status.SKIPPED, Status.UNSUPPORTED):
        return {}
    declared = found.truly_sparse if isinstance(found, Evidence) else None
    declared = outcome.get("settings", {}).get("truly_sparse", declared)
    team = team_of(trial, plugins)
    return audited(
        claim_of(trial.backend, plugins, declared),
        outcome.get("layers", ()),
        outcome.get("measures", {}),
        judge(found)
        if isinstance(found, Evidence)
        else found or "it was not requested; --audit probes it",
        team["processes"] + team["forks"],
    )
