"""Having backends probed before the trials that use them, once for each machine and code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.analysis.honesty import Judgement, audited, claim_of, judge
from sparsebench.core.audit.evidence import SIDES, Evidence, Sizes, sizes_for
from sparsebench.core.files import write_atomically
from sparsebench.core.job import Job
from sparsebench.core.sizes import SizedOptimizer
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial, canonical, digest
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import code_of
from sparsebench.run.kernel_cache import without_magnitudes
from sparsebench.run.team_size import team_of
from sparsebench.store.record import SIMULATED

PATIENCE = 120.0
"""Seconds for a probe, imports included; one takes two to six."""

LIBRARIES = 256 * 2**20
"""Bytes of a process's memory limit that are not for layers."""

MOST_MEMORY = 3 * 2**30
"""Bytes that a probe may take at most, however much there is."""

NOT_MEASURED = (Status.SKIPPED, Status.UNSUPPORTED)


@dataclass(frozen=True)
class ProbeJob:
    """A process that probes a backend: a trial with it, and the layers; None: they do not fit."""

    trial: Trial
    sizes: Sizes | None


def probe_key(trial: Trial) -> str:
    """Trials of one key have one probe: what changes only magnitudes of the optimizer, and not
    what it does, changes nothing that a probe sees."""
    sizes = sizes_for(MOST_MEMORY, trial.batch_size)
    batch = sizes.batch if sizes is not None else 0
    return canonical([trial.backend, without_magnitudes(trial.optimizer), trial.threads, batch])


def probe_jobs(trials: Sequence[Trial], plugins: Plugins) -> dict[str, ProbeJob]:
    """By `probe_key`; for trials whose optimizer declares what it keeps, as ours do."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if isinstance(plugins.parameters("optimizer", trial.optimizer), SizedOptimizer):
            groups.setdefault(probe_key(trial), []).append(trial)
    return {key: _probe_job(group, plugins) for key, group in groups.items()}


def _probe_job(group: Sequence[Trial], plugins: Plugins) -> ProbeJob:
    """Of a backend that says it simulates, a smaller layer is enough to agree."""
    limits = [trial.memory_limit for trial in group if trial.memory_limit is not None]
    room = min([machine.available_memory() // 2, MOST_MEMORY, *limits]) - LIBRARIES
    simulated = claim_of(group[0].backend, plugins) == SIMULATED
    largest = SIDES[1] if simulated else SIDES[0]
    return ProbeJob(group[0], sizes_for(room, group[0].batch_size, largest=largest))


def audit_job(probe: ProbeJob, job: Job) -> Job:
    """The job that probes, made of one for its trial: within what the machine can spare."""
    room = min(machine.available_memory() // 2, MOST_MEMORY)
    trial = replace(probe.trial, timeout=PATIENCE, memory_limit=room)
    return replace(job, trial=trial, probe=probe.sizes)


def read_evidence(file: Path) -> Evidence | None:
    """What a process left, or a run before; None if there is nothing, or nothing whole."""
    try:
        return Evidence.from_json(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def why_no_evidence(outcome: Mapping[str, Any]) -> str:
    """Why a probe left nothing."""
    words = [str(outcome.get(key) or "") for key in ("status", "cause", "detail")]
    return " ".join(["the probe ended", *filter(None, words)])


# --- what is known of earlier runs ---------------------------------------------------


def kept_file(probe: ProbeJob, plugins: Plugins, versions: Mapping[str, str]) -> Path:
    """Where the evidence is kept: a name of all that decides it."""
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
    """For later runs; a cache that cannot be written costs them a few seconds."""
    with contextlib.suppress(OSError, SparsebenchError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(evidence.to_json()))


# --- what a record gets --------------------------------------------------------------

Found = Evidence | str
"""What a probe measured, or why it did not."""


def audit_of(
    trial: Trial, outcome: Mapping[str, Any], found: Found | None, plugins: Plugins
) -> dict[str, Any]:
    """The `audit` of a record; empty for a trial that never ran."""
    if outcome.get("status") in NOT_MEASURED:
        return {}
    said = found.truly_sparse if isinstance(found, Evidence) else None
    said = outcome.get("settings", {}).get("truly_sparse", said)
    probed: Judgement | str = (
        found if isinstance(found, str) else "it was not asked for: --audit probes it"
    )
    if isinstance(found, Evidence):
        probed = judge(found)
    claims = claim_of(trial.backend, plugins, said)
    layers, measures = outcome.get("layers", ()), outcome.get("measures", {})
    team = team_of(trial, plugins)
    return audited(claims, layers, measures, probed, team["processes"] + team["forks"])
