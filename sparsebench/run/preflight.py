"""What a run does before its first trial, in processes like the trials' own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsebench.analysis.honesty import worth_another_look
from sparsebench.core.job import Job
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.core.worker.file_names import EVIDENCE
from sparsebench.run import audit as auditing
from sparsebench.run.context import Context
from sparsebench.run.executor import Handle
from sparsebench.run.fingerprint import CHANGED
from sparsebench.run.fingerprints import Fingerprints
from sparsebench.run.kernel_cache import compile_job, representatives
from sparsebench.run.layer_timing import read_rates, survey_job, surveys
from sparsebench.run.planning.prediction import Rates


@dataclass(frozen=True)
class Preparation:
    """folder   of the run; each process gets one of its own below it
    job_for  the job of a trial in a folder
    heed     called with the handle of a process while it is waited for
    """

    context: Context
    fingerprints: Fingerprints
    folder: Path
    job_for: Callable[[Trial, Path], Job]
    heed: Callable[[Sequence[Handle]], None]

    def compile(self, trials: Sequence[Trial]) -> None:
        """So that no trial is measured while it compiles."""
        chosen = representatives(trials, self.context.plugins)
        if not chosen:
            return
        listener = self.context.listener
        listener.compiling(sorted({trial.backend["name"] for trial in chosen}))
        for number, trial in enumerate(chosen):
            job = compile_job(self.job_for(trial, self.folder / "compile" / str(number)))
            outcome = self.context.run_to_end(job, self.heed)
            self.fingerprints.as_run(trial, ())
            if self.context.signals.count:
                return
            if outcome["status"] != Status.OK:
                listener.note(
                    f"compiling for {trial.backend['name']} ended {outcome['status']} "
                    f"{outcome['cause']} {outcome['detail']}".rstrip()
                )

    def time_backends(self, trials: Sequence[Trial]) -> dict[str, list[Rates]]:
        """Once a run; without them there is no prediction of time. Empty if interrupted."""
        context = self.context
        chosen = surveys(trials, context.plugins) if context.options.predict else {}
        if not chosen or context.signals.count:
            return {}
        context.listener.timing(sorted({e.trial.backend["name"] for e in chosen.values()}))
        rates: dict[str, list[Rates]] = {}
        for number, (key, errand) in enumerate(chosen.items()):
            folder = self.folder / "timing" / str(number)
            job = survey_job(errand, self.job_for(errand.trial, folder))
            context.run_to_end(job, self.heed)
            self.fingerprints.as_run(errand.trial, ())
            if context.signals.count:
                return {}
            rates[key] = read_rates(folder)
        return rates

    def audit(self, trials: Sequence[Trial]) -> dict[str, auditing.Found]:
        """What the backends do with K D growing, by `auditing.errand_key`; measured now where no
        earlier run has. A probe that fails, or is interrupted, ends no run."""
        if not self.context.options.audit or self.context.signals.count:
            return {}
        found: dict[str, auditing.Found] = {}
        waiting: dict[str, auditing.Errand] = {}
        for key, errand in auditing.errands(trials, self.context.plugins).items():
            known = auditing.read_evidence(self._kept(errand))
            if known is not None:
                found[key] = known
            else:
                waiting[key] = errand
        if waiting:
            names = sorted({errand.trial.backend["name"] for errand in waiting.values()})
            self.context.listener.probing(names)
        for number, (key, errand) in enumerate(waiting.items()):
            found[key] = self._probe(errand, self.folder / "audit" / str(number))
        return found

    def _probe(self, errand: auditing.Errand, folder: Path) -> auditing.Found:
        """Twice where a claim would be contradicted: the calmest of both counts, and is not kept,
        so that the next run looks again."""
        first = self._probe_once(errand, folder)
        if isinstance(first, str) or not worth_another_look(first):
            return first
        again = self._probe_once(errand, folder / "again")
        return first if isinstance(again, str) else first.calmest(again)

    def _probe_once(self, errand: auditing.Errand, folder: Path) -> auditing.Found:
        if self.context.signals.count:
            return "the run was interrupted before the probe"
        if errand.sizes is None:
            return "no memory for a layer large enough"
        job = auditing.audit_job(errand, self.job_for(errand.trial, folder))
        file = self._kept(errand)
        outcome = self.context.run_to_end(job, self.heed)
        as_run = self.fingerprints.as_run(errand.trial, ())
        evidence = auditing.read_evidence(folder / EVIDENCE)
        if evidence is None:
            return auditing.outcome_in_words(outcome)
        if as_run["code"] != CHANGED and not worth_another_look(evidence):
            auditing.keep(file, evidence)
        return evidence

    def _kept(self, errand: auditing.Errand) -> Path:
        versions = self.fingerprints.of(errand.trial)["versions"]
        return auditing.kept_file(errand, self.context.plugins, versions)
