"""Run the trials of a suite: reuse, start, watch, keep. Light: trains nothing itself."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.core.job import Job
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError, StoreError
from sparsebench.registry import Plugins
from sparsebench.run import audit as auditing
from sparsebench.run import exit_codes, team_size
from sparsebench.run.concurrent_runs import ConcurrentRuns
from sparsebench.run.context import Context, wait
from sparsebench.run.executor import Handle
from sparsebench.run.fingerprint import CHANGED, agrees, forget_sources
from sparsebench.run.fingerprints import Fingerprints
from sparsebench.run.kernel_cache import compiled_code
from sparsebench.run.manifest import manifest
from sparsebench.run.options import Listener, Options, Summary, executor_of
from sparsebench.run.planning.prediction import Prediction, predict, refusal
from sparsebench.run.preflight import Preparation
from sparsebench.run.reuse import absent, reusable, shares
from sparsebench.run.signals import Signals
from sparsebench.run.slots import Slots
from sparsebench.run.surroundings import moment
from sparsebench.store import provenance
from sparsebench.store.attempts import Attempt
from sparsebench.store.record import Record
from sparsebench.store.store import Store
from sparsebench.suite.labels import label
from sparsebench.suite.suite import Suite

__all__ = ["Listener", "Options", "Summary", "run_trials"]

PROGRESS_PERIOD = 0.25
PATIENCE = 5.0
"""Seconds that killed trials get to be gone."""

MOST_PLACES = 10_000
"""Trials under way at once, of an executor that says itself how many it has room for."""

RETRIED = (Status.CRASHED, Status.KILLED)


def run_trials(
    suite: Suite,
    trials: Sequence[Trial],
    plugins: Plugins,
    options: Options,
    listener: Listener | None = None,
) -> Summary:
    """Bring every trial to a record in the store, by reuse or by running it.

    Raises StoreError when the store cannot be written; what had finished is kept.
    """
    refusal = machine.refuse_unmeasurable_system()
    if refusal is not None:
        raise SparsebenchError(refusal)
    trials = list({trial.id: trial for trial in trials}.values())
    if options.debug and len(trials) != 1:
        raise SparsebenchError(f"--debug runs one trial; {len(trials)} are selected")
    if options.debug and (wanted := team_size.processes(trials[0], plugins)) > 1:
        raise SparsebenchError(
            f"--debug runs a trial in this one process; trainer {trials[0].trainer['name']!r} "
            f"needs {wanted}: run it without --debug"
        )
    listener = listener if listener is not None else Listener()
    executor = plugins.build("executor", executor_of(options, plugins))
    signals = Signals()
    # in a debugger Ctrl-C is to come through
    with contextlib.nullcontext() if options.debug else signals, contextlib.closing(executor):
        context = Context(suite, plugins, options, listener, executor, signals)
        return Session(trials, context).run()


@dataclass
class RunningTrial:
    """A trial that an executor has, and the place it takes."""

    attempt: Attempt
    handle: Handle
    place: int
    reported: float = 0.0


class Session:
    """One run: the trials that wait, those under way, and the records so far."""

    def __init__(self, trials: Sequence[Trial], context: Context) -> None:
        self._trials = trials
        self._context = context
        self._suite = context.suite
        self._plugins = context.plugins
        self._options = context.options
        self._listener = context.listener
        self._signals = context.signals
        shared = bool(getattr(context.executor, "shares_machine", False))
        self._room = getattr(context.executor, "room", None)
        count = context.executor.slots if self._room is None else MOST_PLACES
        self._slots = Slots(
            count,
            shared=shared,
            wanting=lambda trial: team_size.cores_wanted(trial, context.plugins),
        )
        self._store = Store(context.options.store)
        self._fingerprints = Fingerprints(context.plugins)
        self._waiting: deque[Trial] = deque()
        self._running: list[RunningTrial] = []
        self._concurrent = ConcurrentRuns(self._store, context.listener)
        self._unfinished: list[Attempt] = []
        self._records: dict[str, Record] = {}
        self._predictions: dict[str, Prediction] = {}
        self._audits: dict[str, auditing.Found] = {}
        self._tries: Counter[str] = Counter()
        self._reused = 0
        self._stopping = 0

    def run(self) -> Summary:
        """Everything. An exception leaves no trial under way, in the store neither."""
        try:
            return self._run()
        finally:
            self._abandon()

    def _run(self) -> Summary:
        forget_sources()
        plan = manifest(self._context, self._trials)
        self._journal = self._store.open_run(self._suite.name, plan, self._suite.text)
        self._listener.started(self._journal.id, len(self._trials))
        for trial in self._trials:
            self._triage(trial)
        if self._options.debug:
            self._debug()
        else:
            narrow = self._slots.narrow_for(self._waiting)
            if narrow:
                self._listener.note(narrow)
            self._prepare()
            while self._waiting or self._running or self._concurrent:
                self._waiting.extend(self._concurrent.ended())
                self._start_what_fits()
                self._concurrent.pause(idle=not self._running)
                wait([item.handle for item in self._running])
                self._collect()
                self._require_executor()
        return self._summarise()

    # --- before ------------------------------------------------------------------------

    def _triage(self, trial: Trial) -> None:
        """What cannot run and what need not run have their record now; the rest waits."""
        reason = absent(trial, self._plugins)
        if reason is not None:
            status, detail = reason[0], provenance.impersonal(reason[1])
            if "missing" in trial.data:
                trial = replace(trial, data={"missing": detail})
            self._store_outcome(self._store.begin(trial), {"status": status, "detail": detail})
            return
        fingerprint = self._fingerprints.take(trial)
        found = self._reusable_record(trial, fingerprint)
        if found is None:
            self._plan(trial)
        else:
            self._reuse(trial, found)

    def _reusable_record(self, trial: Trial, fingerprint: dict[str, Any]) -> Record | None:
        """The record that is there and need not be made again."""
        records = self._store.records(trial.id) if self._options.resume else []
        found = reusable(trial, records, fingerprint, self._options)
        if found is None or (trial.keep_model and not self._store.has_model(found)):
            return None
        cut_off = found.status in RETRIED and self._checkpoint(trial) is not None
        return None if cut_off else found

    def _reuse(self, trial: Trial, found: Record) -> None:
        self._reused += 1
        self._journal.recorded(found, reused=True)
        labelled = replace(found.trial, suite=trial.suite, axes=trial.axes)
        self._records[trial.id] = replace(found, trial=labelled)
        self._listener.trial_ended(trial, self._records[trial.id], True)

    def _plan(self, trial: Trial) -> None:
        """Queue the trial, or skip it if it cannot fit its memory limit and the suite does not
        expect it to run out of memory."""
        if self._options.predict:
            prediction = predict(trial, self._plugins)
            self._predictions[trial.id] = prediction
            detail = refusal(trial, prediction)
            if detail and Status.OUT_OF_MEMORY not in exit_codes.expected(self._suite, trial):
                outcome = {"status": Status.SKIPPED, "cause": "memory limit", "detail": detail}
                self._store_outcome(self._store.begin(trial), outcome)
                return
        self._waiting.append(trial)

    def _prepare(self) -> None:
        """Compile for the trials that wait, and audit their backends if that is requested.

        An executor of many machines compiles on each.
        """
        preparation = Preparation(
            self._context,
            self._fingerprints,
            self._journal.folder,
            lambda trial, folder: self._job(trial, folder, cores=None),
            self._pass_on_signals,
        )
        waiting = list(self._waiting)
        if not getattr(self._context.executor, "many_machines", False):
            preparation.compile(waiting)
        self._audits = preparation.audit(waiting)

    # --- during ------------------------------------------------------------------------

    def _start_what_fits(self) -> None:
        self._pass_on_signals([item.handle for item in self._running])
        while self._waiting and self._has_room() and self._slots.fits(self._waiting[0]):
            trial = self._waiting.popleft()
            attempt = self._acquire(trial)
            if attempt is None:
                continue
            place = self._slots.take(trial)
            job = self._resumed(self._job(trial, attempt.folder, self._slots.cores(place)))
            team = team_size.team_of(trial, self._plugins)
            job = replace(job, processes=team["processes"], forks=team["forks"])
            self._running.append(RunningTrial(attempt, self._context.submit(job), place))
            self._listener.trial_started(trial, self._number(trial))

    def _has_room(self) -> bool:
        """Whether the executor takes one more, where that changes as machines come and go."""
        return self._room is None or len(self._running) < self._room()

    def _require_executor(self) -> None:
        """Go on only while there is something that runs trials; what it ran is kept by now."""
        lost = getattr(self._context.executor, "lost", "")
        if lost and not self._signals.count:
            raise SparsebenchError(lost)

    def _resumed(self, job: Job) -> Job:
        """The job, with the checkpoint that an earlier attempt at its trial left for it."""
        return replace(job, resume_from=self._checkpoint(job.trial))

    def _checkpoint(self, trial: Trial) -> Path | None:
        """Of the code of today."""
        if not self._options.resume or self._options.rerun == "all":
            return None
        today = self._fingerprints.of(trial)
        return self._store.checkpoint(trial, lambda recorded: agrees(recorded, today))

    def _acquire(self, trial: Trial) -> Attempt | None:
        """Claim an attempt for this run. Returns None if another run has finished the trial or
        is running it. Retries after a crash, and runs that share no results, skip that
        check."""
        if self._tries[trial.id] or not shares(self._options):
            return self._begin(trial)
        fingerprint = self._fingerprints.take_anew(trial)
        with self._store.locked():
            found = self._reusable_record(trial, fingerprint)
            if found is None:
                return None if self._concurrent.has(trial) else self._begin(trial, fingerprint)
        self._reuse(trial, found)
        return None

    def _begin(self, trial: Trial, fingerprint: dict[str, Any] | None = None) -> Attempt:
        """fingerprint  as just taken; without it, it is taken now"""
        if fingerprint is None:
            fingerprint = self._fingerprints.take_anew(trial)
        attempt = self._store.begin(trial, fingerprint=fingerprint, run=self._journal.id)
        self._unfinished.append(attempt)
        self._journal.began(attempt)
        return attempt

    def _collect(self) -> None:
        for item in list(self._running):
            outcome = item.handle.poll()
            if outcome is None:
                self._report_progress(item)
                continue
            self._running.remove(item)
            self._slots.give_back(item.place)
            record = self._store_outcome(item.attempt, outcome)
            self._retry_or_stop(item.attempt.trial, record)

    def _retry_or_stop(self, trial: Trial, record: Record) -> None:
        """Once more after a crash, if the trial says so; no more at all if asked to fail fast."""
        self._tries[trial.id] += 1
        may_retry = self._tries[trial.id] <= trial.retries and not self._signals.count
        if record.status in RETRIED and may_retry:
            self._waiting.appendleft(trial)
        elif self._options.fail_fast and exit_codes.unexpected_failure(self._suite, record):
            self._waiting.clear()
            self._concurrent.forget()

    def _store_outcome(self, attempt: Attempt, outcome: Mapping[str, Any]) -> Record:
        """Store the outcome, and tell of it."""
        trial = attempt.trial
        record = self._record(attempt, outcome)
        self._records[trial.id] = record
        self._store.tidy_checkpoints(record)
        if record.fingerprint.get("code") == CHANGED:
            self._listener.note(f"{label(trial)}: its code {CHANGED}; it counts for no later run")
        self._listener.trial_ended(trial, record, False)
        return record

    def _record(self, attempt: Attempt, outcome: Mapping[str, Any]) -> Record:
        trial = attempt.trial
        fields = {"machine": machine.describe(), **outcome}
        if trial.id in self._predictions:
            predicted = self._predictions[trial.id].measures()
            fields["measures"] = {**predicted, **fields.get("measures", {})}
        found = self._audits.get(auditing.probe_key(trial))
        fields["audit"] = auditing.audit_of(trial, fields, found, self._plugins)
        record = Record(
            trial=trial,
            attempt=attempt.number,
            fingerprint=self._as_run(trial),
            debug=self._options.debug,
            **{**fields, "status": Status(fields["status"])},
        )
        self._store.finish(attempt, record)
        self._unfinished = [other for other in self._unfinished if other is not attempt]
        self._journal.recorded(record)
        return record

    def _as_run(self, trial: Trial) -> dict[str, Any]:
        """Empty for a trial that needed no process."""
        if not self._fingerprints.of(trial):
            return {}
        return self._fingerprints.as_run(trial, [item.attempt.trial for item in self._running])

    def _pass_on_signals(self, handles: Sequence[Handle]) -> None:
        """The first signal asks the trials to end, the second ends them."""
        if self._signals.count <= self._stopping:
            return
        self._stopping = self._signals.count
        self._waiting.clear()
        self._concurrent.forget()
        for handle in handles:
            handle.stop(kill=self._stopping > 1)

    def _report_progress(self, item: RunningTrial) -> None:
        now = time.monotonic()
        if now - item.reported >= PROGRESS_PERIOD:
            item.reported = now
            self._listener.progress(item.attempt.trial, item.handle.progress())

    def _debug(self) -> None:
        from sparsebench.run.debug import run_here

        while self._waiting:
            trial = self._waiting.popleft()
            attempt = self._begin(trial)
            self._listener.trial_started(trial, self._number(trial))
            run_here(
                self._job(trial, attempt.folder, cores=None),
                lambda outcome, attempt=attempt: self._store_outcome(attempt, outcome),  # type: ignore[misc]
            )

    # --- after -------------------------------------------------------------------------

    def _abandon(self) -> None:
        """End what is under way, and keep that it was; there is some only after an exception."""
        for item in self._running:
            item.handle.stop(kill=True)
        deadline = time.monotonic() + PATIENCE
        cut_off = {"status": Status.INTERRUPTED, "detail": "an error ended the run before it"}
        with contextlib.suppress(StoreError):  # a store that cannot be written is what ended it
            while self._running and time.monotonic() < deadline:
                wait([item.handle for item in self._running])
                for item in list(self._running):
                    outcome = item.handle.poll()
                    if outcome is not None:
                        self._running.remove(item)
                        self._record(item.attempt, outcome)
            for attempt in self._unfinished:
                self._record(attempt, cut_off)

    def _summarise(self) -> Summary:
        records = [self._records[t.id] for t in self._trials if t.id in self._records]
        for line in exit_codes.missed_expectations(self._suite, records):
            self._listener.note(line)
        code = self._signals.exit_code
        summary = Summary(
            run=self._journal.id,
            store=self._store.path,
            records=records,
            reused=self._reused,
            counts=dict(Counter(str(record.status) for record in records)),
            exit_code=code if code is not None else exit_codes.exit_code(self._suite, records),
        )
        self._journal.event(
            "ended",
            exit_code=summary.exit_code,
            counts=summary.counts,
            moment=moment(),
            threadpools=provenance.pools(records),
        )
        self._listener.ended(summary)
        return summary

    # --- in words ----------------------------------------------------------------------

    def _job(self, trial: Trial, folder: Path, cores: tuple[int, ...] | None) -> Job:
        return Job(
            trial=trial,
            folder=folder,
            data_dir=self._options.data_dir,
            plugin_files=self._plugins.files,
            cores=cores,
            contended=self._slots.contended,
            numba_cache=compiled_code(trial, self._plugins),
        )

    def _number(self, trial: Trial) -> int:
        return self._trials.index(trial) + 1
