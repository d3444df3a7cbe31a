"""Compiles kernels and audits backends before the first trial, in separate processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench.analysis.audit_verdict import contradicts_or_unsure
from sparsebench.core.job import EVIDENCE, Job
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.cores_and_threads import usable_cores
from sparsebench.run import kernel_cache
from sparsebench.run import probe_jobs as auditing
from sparsebench.run.executor import Context, Handle
from sparsebench.run.fingerprint import CHANGED


@dataclass(frozen=True)
class Preflight:
    """The processes that run before the first trial.

    folder   folder of the run; each process gets a folder below it
    job_for  makes the job of a trial in a folder
    on_wait  called with the handles of running processes while they are waited for
    """

    context: Context
    fingerprints: kernel_cache.Fingerprints
    folder: Path
    job_for: Callable[[Trial, Path], Job]
    on_wait: Callable[[Sequence[Handle]], None]

    def compile(self, trials: Sequence[Trial]) -> None:
        """Compile all kernels, so that no trial is measured while it compiles.

        First, up to one process per core compiles at the same time, for trials that share few
        kernels. Then one process after another goes through all trials, a group of them each
        (`kernel_cache.groups`), and finds most kernels compiled.
        """
        context, plugins = self.context, self.context.plugins
        chosen = [
            trial
            for trial in kernel_cache.representatives(trials, plugins)
            if not kernel_cache.is_compiled(trial, plugins)
        ]
        if not chosen:
            return
        if unwritable := kernel_cache.unwritable_cache():
            context.listener.note(unwritable)
        context.listener.compiling(sorted({trial.backend["name"] for trial in chosen}))
        apart = kernel_cache.most_different(chosen, len(usable_cores()))
        if len(apart) > 1:
            self._compile_at_once(
                [([trial], kernel_cache.cache_folder(trial, plugins)) for trial in apart]
            )
        for group, folder in kernel_cache.groups(chosen, plugins):
            if context.signals.count:
                return
            (outcome,) = self._compile_at_once([(group, folder)])
            if outcome["status"] == Status.OK:
                kernel_cache.mark_compiled(group, plugins)
            elif not context.signals.count:
                names = sorted({trial.backend["name"] for trial in group})
                context.listener.note(
                    f"compiling for {', '.join(names)} ended {outcome['status']} "
                    f"{outcome['cause']} {outcome['detail']}".rstrip()
                )

    def _compile_at_once(
        self, parts: Sequence[tuple[list[Trial], Path]]
    ) -> list[Mapping[str, Any]]:
        """Start a process for each group of trials with its cache folder, and wait for all."""
        folder, jobs = self.folder / "compile", list[Job]()
        made = len(list(folder.iterdir())) if folder.is_dir() else 0
        for number, (group, cache) in enumerate(parts, made):
            job = replace(self.job_for(group[0], folder / str(number)), numba_cache=cache)
            jobs.append(kernel_cache.compile_job(job, group))
        outcomes = self.context.run_to_end(jobs, self.on_wait)
        for group, _ in parts:
            for trial in group:
                self.fingerprints.after_run(trial)
        return outcomes

    def audit(self, trials: Sequence[Trial]) -> dict[str, auditing.Found]:
        """The evidence about the backends, by `auditing.probe_key`, and about models with
        topologies, by `auditing.method_key`: stored by an earlier run, or measured now if
        requested. A probe that fails or is interrupted does not end the run."""
        found: dict[str, auditing.Found] = {}
        if self.context.signals.count:
            return found
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
            folder = self.folder / "audit" / str(number)
            found[key] = first = self._probe(probe, folder)
            # where a claim would be contradicted, the smaller_of_each of two probes counts
            if not isinstance(first, str) and contradicts_or_unsure(first):
                again = self._probe(probe, folder / "again")
                found[key] = first if isinstance(again, str) else first.smaller_of_each(again)
        return found

    def _probe(self, probe: auditing.ProbeJob, folder: Path) -> auditing.Found:
        """Evidence from one process, or why there is none. It is kept for later runs unless it
        contradicts the backend's claim or leaves it in doubt: then the next run probes again."""
        if self.context.signals.count:
            return "the run was interrupted before the probe"
        if probe.sizes is None:
            return "no memory for a layer large enough"
        job, file = auditing.audit_job(probe, self.job_for(probe.trial, folder)), self._kept(probe)
        (outcome,) = self.context.run_to_end([job], self.on_wait)
        as_run = self.fingerprints.after_run(probe.trial)
        evidence = auditing.read_evidence(folder / EVIDENCE)
        if evidence is None:
            return auditing.why_no_evidence(outcome)
        if as_run["code"] != CHANGED and not contradicts_or_unsure(evidence):
            auditing.keep(file, evidence)
        return evidence

    def _kept(self, probe: auditing.ProbeJob) -> Path:
        versions = self.fingerprints.of(probe.trial)["versions"]
        return auditing.kept_file(probe, self.context.plugins, versions)
