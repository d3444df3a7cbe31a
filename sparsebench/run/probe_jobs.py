"""Probes backends for hidden dense work: makes the jobs, caches the evidence, and gives the
verdict.

A probe is a process that measures memory and time of a backend on layers with equally many
connections and growing K D, or on networks made of them, to test a model and a topology. It runs
before the trials that use the backend, once for each machine and version of the code.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.analysis.audit_verdict import Judgement, audited, claim_of, judge
from sparsebench.core.audit.probe_evidence import Evidence
from sparsebench.core.audit.probe_sizes import FULLEST, SIDES, SPARSEST, Sizes, sizes_for
from sparsebench.core.files import write_atomically
from sparsebench.core.job import Job
from sparsebench.core.sizes import SizedOptimizer
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial, canonical, digest
from sparsebench.errors import SparsebenchError
from sparsebench.folders import cache_directory
from sparsebench.registry import Plugins
from sparsebench.run.core_slots import declared_processes
from sparsebench.run.fingerprint import code_of
from sparsebench.run.kernel_cache import without_magnitudes
from sparsebench.run.trial_sizes import declared_sizes
from sparsebench.store.record import SIMULATED
from sparsebench.suite.labels import brief

LARGE_LAYER_SHARE = 1 / 8
"""A layer with at least this share of the network's K D counts when the size to probe is chosen."""

PATIENCE = 120.0
"""Timeout of a probe in seconds, imports included; a probe takes two to six."""

LIBRARIES = 256 * 2**20
"""Bytes of a process's memory limit that libraries need and that are not available for layers."""

MOST_MEMORY = 3 * 2**30
"""Bytes that a probe may use at most, however much there is."""

Found = Evidence | str
"""The evidence of a probe, or why there is none."""


@dataclass(frozen=True)
class ProbeJob:
    """A probe to run: a trial that uses the backend, and the sizes of the layers. The sizes are
    None if no layer that is large enough fits into memory."""

    trial: Trial
    sizes: Sizes | None

    @property
    def is_method(self) -> bool:
        """Whether this job probes a model and a topology, in a network."""
        return self.sizes is not None and self.sizes.network


def probed_sizes(trial: Trial, plugins: Plugins) -> tuple[int, float]:
    """The side (neurons) and density of the square layer that is probed for a trial.

    These are the density of the trial's densest layer, and the mean of its K and D, among the
    layers with at least `LARGE_LAYER_SHARE` of the network's K D. If the trial's sizes are not
    declared, the largest side and lowest density.
    """
    known = declared_sizes(trial, plugins)
    layers = known.layers if known is not None else ()
    entries = sum(K * D for K, D in (layer.shape for layer in layers))
    large = [
        layer for layer in layers if layer.shape[0] * layer.shape[1] >= LARGE_LAYER_SHARE * entries
    ]
    if not large:
        return SIDES[0], SPARSEST
    density, side = max((one.nnz / (one.shape[0] * one.shape[1]), sum(one.shape) // 2)
                        for one in large)  # fmt: skip
    return side, density


def probe_key(trial: Trial, plugins: Plugins) -> str:
    """A key that trials share if one probe of their backend is enough for them. The optimizer's
    numbers are left out, because they do not affect a probe."""
    side, density = probed_sizes(trial, plugins)
    sizes = sizes_for(MOST_MEMORY, trial.batch_size, side=side, density=density)
    return canonical(
        [
            trial.backend,
            without_magnitudes(trial.optimizer),
            trial.threads,
            sizes.to_json() if sizes is not None else None,
        ]
    )


def method_key(trial: Trial, plugins: Plugins) -> str:
    """A key that trials share if one probe of their model and topology is enough for them. The
    numbers of these components are left out too."""
    model = {key: value for key, value in trial.model.items() if key != "hidden"}
    return canonical(
        [
            "network",
            probe_key(trial, plugins),
            without_magnitudes(model),
            without_magnitudes(trial.topology),
            trial.objective,
        ]
    )


def probe_jobs(trials: Sequence[Trial], plugins: Plugins) -> dict[str, ProbeJob]:
    """The probes that these trials need, by `probe_key` and `method_key`. A trial whose optimizer
    does not declare its state is not probed. A backend that declares itself simulated is probed
    with smaller layers, which are enough to confirm that, and without its models and topologies."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if isinstance(plugins.parameters("optimizer", trial.optimizer), SizedOptimizer):
            groups.setdefault(probe_key(trial, plugins), []).append(trial)
            if claim_of(trial.backend, plugins) != SIMULATED and is_sparse(trial, plugins):
                groups.setdefault(method_key(trial, plugins), []).append(trial)
    jobs = {}
    for key, (trial, *others) in groups.items():
        limits = [t.memory_limit for t in (trial, *others) if t.memory_limit is not None]
        room = min([machine.available_memory() // 2, MOST_MEMORY, *limits]) - LIBRARIES
        side, density = probed_sizes(trial, plugins)
        if claim_of(trial.backend, plugins) == SIMULATED:
            side = min(side, SIDES[1])
        sizes = sizes_for(room, trial.batch_size, side=side, density=density)
        network = key == method_key(trial, plugins)
        jobs[key] = ProbeJob(trial, replace(sizes, network=network) if sizes else None)
    return jobs


def is_sparse(trial: Trial, plugins: Plugins) -> bool:
    """Whether the topology is declared to leave at least half of the positions free, or declares
    nothing. A denser one takes memory K x D by design."""
    known = declared_sizes(trial, plugins)
    layers = known.layers if known is not None else ()
    entries = sum(K * D for K, D in (layer.shape for layer in layers))
    return sum(layer.nnz for layer in layers) <= FULLEST * entries


def audit_job(probe: ProbeJob, job: Job) -> Job:
    """A job for the probe, made from a job for its trial; its memory limit is what the machine can
    spare."""
    room = min(machine.available_memory() // 2, MOST_MEMORY)
    trial = replace(probe.trial, timeout=PATIENCE, memory_limit=room)
    return replace(job, trial=trial, probe=probe.sizes)


def read_evidence(file: Path) -> Evidence | None:
    """Read the evidence in a file; None if the file is missing or incomplete."""
    try:
        return Evidence.from_json(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def why_no_evidence(outcome: Mapping[str, Any]) -> str:
    """Why a probe left no evidence, in words."""
    words = [str(outcome.get(key) or "") for key in ("status", "cause", "detail")]
    return " ".join(["the probe ended", *filter(None, words)])


def kept_file(probe: ProbeJob, plugins: Plugins, versions: Mapping[str, str]) -> Path:
    """The cache file for the evidence; its name is a hash of everything that the evidence depends
    on."""
    decisive = [
        _key_of(probe, plugins),
        probe.sizes.to_json() if probe.sizes is not None else None,
        probe.trial.huge_pages,
        code_of(probe.trial, plugins, probed_kinds(probe)),
        dict(versions),
        machine.describe()["id"],
    ]
    return cache_directory() / "audits" / f"{digest(decisive, 8)}.json"


def _key_of(probe: ProbeJob, plugins: Plugins) -> str:
    return (method_key if probe.is_method else probe_key)(probe.trial, plugins)


def probed_kinds(probe: ProbeJob) -> tuple[str, ...]:
    """The kinds of components that a probe runs."""
    more = ("model", "topology", "objective") if probe.is_method else ()
    return ("backend", "optimizer", *more)


def keep(file: Path, evidence: Evidence) -> None:
    """Cache evidence for later runs. If the cache cannot be written, they probe again."""
    with contextlib.suppress(OSError, SparsebenchError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(evidence.to_json()))


def audit_of(
    trial: Trial, outcome: Mapping[str, Any], found: Mapping[str, Found], plugins: Plugins
) -> dict[str, Any]:
    """The `audit` field of a record; empty for a trial that never ran.

    found  the results of the probes, by `probe_key` and `method_key`
    """
    if outcome.get("status") in (Status.SKIPPED, Status.UNSUPPORTED):
        return {}
    backend, method = found.get(probe_key(trial, plugins)), found.get(method_key(trial, plugins))
    declared = backend.truly_sparse if isinstance(backend, Evidence) else None
    declared = outcome.get("settings", {}).get("truly_sparse", declared)
    team = declared_processes(trial, plugins)
    return audited(
        claim_of(trial.backend, plugins, declared),
        outcome.get("layers", ()),
        outcome.get("measures", {}),
        judge(backend)
        if isinstance(backend, Evidence)
        else backend or "it was not requested; --audit probes it",
        team["processes"] + team["forks"],
        judge_method(method, trial) if isinstance(method, Evidence) else method,
        outcome.get("settings", {}).get("dense_start") is True,
    )


def judge_method(found: Evidence, trial: Trial) -> Judgement:
    """Judge the probe of a model and a topology; the sentence of the judgement names both."""
    judged = judge(found)
    names = f"model {trial.model['name']!r} with topology {brief(trial.topology)!r}"
    return replace(judged, why=f"{names}: {judged.why}")
