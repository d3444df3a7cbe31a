"""What a run does before its first trial, in processes like the trials' own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench.analysis.honesty import worth_another_look
from sparsebench.core.job import EVIDENCE, Job
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.machine import usable_cores
from sparsebench.run import audit as auditing
from sparsebench.run.context import Context
from sparsebench.run.executor import Handle
from sparsebench.run.fingerprint import CHANGED
from sparsebench.run.fingerprints import Fingerprints
from sparsebench.run.kernel_cache import (
    compile_job,
    compiled_code,
    groups,
    is_compiled,
    mark_compiled,
    representatives,
    unlike,
    unwritable_cache,
)


@dataclass(frozen=True)
class Preparation:
    """folder   of the run; each process gets one of its own below it
    job_for  the job of a trial in a folder
    on_wait     called with the handle of a process while it is waited for
    """

    context: Context
    fingerprints: Fingerprints
    folder: Path
    job_for: Callable[[Trial, Path], Job]
    on_wait: Callable[[Sequence[Handle]], None]

    def compile(self, trials: Sequence[Trial]) -> None:
        """So that no trial is measured while it compiles.

        First a process per core compiles for trials that have little in common; then one process
        for all, which finds most of it, so that nothing is missing.
        """
        context, plugins = self.context, self.context.plugins
        chosen = [t for t in representatives(trials, plugins) if not is_compiled(t, plugins)]
        if not chosen:
            return
        unwritable = unwritable_cache()
        if unwritable:
            context.listener.note(unwritable)
        context.listener.compiling(sorted({trial.backend["name"] for trial in chosen}))
        apart = unlike(chosen, len(usable_cores()))
        if len(apart) > 1:
            self._compile_at_once([([trial], compiled_code(trial, plugins)) for trial in apart])
        for group, folder in groups(chosen, plugins):
            if context.signals.count:
                return
            (outcome,) = self._compile_at_once([(group, folder)])
            if outcome["status"] == Status.OK:
                mark_compiled(group, plugins)
            elif not context.signals.count:
                names = sorted({trial.backend["name"] for trial in group})
                context.listener.note(
                    f"compiling for {', '.join(names)} ended {outcome['status']} "
                    f"{outcome['cause']} {outcome['detail']}".rstrip()
                )

    def _compile_at_once(
        self, parts: Sequence[tuple[list[Trial], Path]]
    ) -> list[Mapping[str, Any]]:
        """Compile in a process for each group and its folder of compiled code."""
        folder, jobs = self.folder / "compile", list[Job]()
        for group, cache in parts:
            made = len(list(folder.iterdir())) if folder.is_dir() else 0
            job = self.job_for(group[0], folder / str(made + len(jobs)))
            jobs.append(compile_job(replace(job, numba_cache=cache), group))
        outcomes = self.context.run_to_end(jobs, self.on_wait)
        for group, _ in parts:
            for trial in group:
                self.fingerprints.as_run(trial, ())
        return outcomes

    def audit(self, trials: Sequence[Trial]) -> dict[str, auditing.Found]:
        """What the backends do with K D growing, by `auditing.probe_key`: as an earlier run has
        measured it, else measured now if that is requested. A probe that fails, or is interrupted,
        ends no run."""
        if self.context.signals.count:
            return {}
        found: dict[str, auditing.Found] = {}
        waiting: dict[str, auditing.ProbeJob] = {}
        for key, probe in auditing.probe_jobs(trials, self.context.plugins).items():
            known = auditing.read_evidence(self._kept(probe))
            if known is not None:
                found[key] = known
            elif self.context.options.audit:
                waiting[key] = probe
        if waiting:
            names = sorted({probe.trial.backend["name"] for probe in waiting.values()})
            self.context.listener.probing(names)
        for number, (key, probe) in enumerate(waiting.items()):
            found[key] = self._probe(probe, self.folder / "audit" / str(number))
        return found

    def _probe(self, probe: auditing.ProbeJob, folder: Path) -> auditing.Found:
        """Twice where a claim would be contradicted: the calmest of both counts, and is not kept,
        so that the next run looks again."""
        first = self._probe_once(probe, folder)
        if isinstance(first, str) or not worth_another_look(first):
            return first
        again = self._probe_once(probe, folder / "again")
        return first if isinstance(again, str) else first.calmest(again)

    def _probe_once(self, probe: auditing.ProbeJob, folder: Path) -> auditing.Found:
        if self.context.signals.count:
            return "the run was interrupted before the probe"
        if probe.sizes is None:
            return "no memory for a layer large enough"
        job = auditing.audit_job(probe, self.job_for(probe.trial, folder))
        file = self._kept(probe)
        (outcome,) = self.context.run_to_end([job], self.on_wait)
        as_run = self.fingerprints.as_run(probe.trial, ())
        evidence = auditing.read_evidence(folder / EVIDENCE)
        if evidence is None:
            return auditing.why_no_evidence(outcome)
        if as_run["code"] != CHANGED and not worth_another_look(evidence):
            auditing.keep(file, evidence)
        return evidence

    def _kept(self, probe: auditing.ProbeJob) -> Path:
        versions = self.fingerprints.of(probe.trial)["versions"]
        return auditing.kept_file(probe, self.context.plugins, versions)
