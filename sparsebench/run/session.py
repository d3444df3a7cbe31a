"""Schedules the trials of a run: reuses records, starts and retries trials, and stores outcomes."""

from __future__ import annotations

import contextlib
import math
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
from sparsebench.run import exit_codes
from sparsebench.run import probe_jobs as auditing
from sparsebench.run.core_slots import Slots, cores_wanted, declared_processes
from sparsebench.run.cost_prediction import Prediction, predict, refusal
from sparsebench.run.executor import Context, Handle, wait
from sparsebench.run.fingerprint import CHANGED, agrees, forget_sources
from sparsebench.run.kernel_cache import Fingerprints, cache_folder
from sparsebench.run.machine_facts import moment
from sparsebench.run.manifest import manifest
from sparsebench.run.options import Listener, Options, Summary, executor_of
from sparsebench.run.preflight import Preflight
from sparsebench.run.reuse import ConcurrentRuns, reusable, shares, why_not_runnable
from sparsebench.run.signals import Signals
from sparsebench.store import provenance
from sparsebench.store.attempts import DAMAGED, Attempt
from sparsebench.store.record import Record
from sparsebench.store.store import LABELS, Store
from sparsebench.suite.labels import label
from sparsebench.suite.suite import Suite

PROGRESS_PERIOD = 0.25
PAUSE = 0.05
"""Seconds between two checks while only trials of other runs are left."""

PATIENCE = 5.0
"""Seconds to wait for killed trials to end."""

MOST_PLACES = 10_000
"""Most trials at the same time for an executor that defines `room`."""

RETRIED = (Status.CRASHED, Status.KILLED)


def run_trials(
    suite: Suite,
    trials: Sequence[Trial],
    plugins: Plugins,
    options: Options,
    listener: Listener | None = None,
) -> Summary:
    """Get a record for every trial, by reusing one or by running the trial.

    Raises StoreError if the store cannot be written; finished records are kept.
    """
    refused = machine.refuse_unmeasurable_system()
    if refused is not None:
        raise SparsebenchError(refused)
    trials = list({trial.id: trial for trial in trials}.values())
    if options.debug and len(trials) != 1:
        raise SparsebenchError(f"--debug runs one trial; {len(trials)} are selected")
    if options.debug and (wanted := declared_processes(trials[0], plugins)["processes"]) > 1:
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
    """A trial that an executor runs.

    place     number of its slot
    reported  when its progress was last reported, in seconds of `time.monotonic`
    """

    attempt: Attempt
    handle: Handle
    place: int
    reported: float = 0.0


class Session:
    """One run: waiting trials, running trials, and the records so far."""

    def __init__(self, trials: Sequence[Trial], context: Context) -> None:
        self._trials = trials
        self._context = context
        self._suite = context.suite
        self._plugins = context.plugins
        self._options = context.options
        self._listener = context.listener
        self._signals = context.signals
        self._room = getattr(context.executor, "room", None)
        self._slots = Slots(
            context.executor.slots if self._room is None else MOST_PLACES,
            shared=bool(getattr(context.executor, "shares_machine", False)),
            cores_of=lambda trial: cores_wanted(trial, context.plugins),
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
        self._deadline = math.inf

    def run(self) -> Summary:
        """Run all trials. If an exception ends this, running trials are killed and recorded as
        interrupted."""
        try:
            forget_sources()
            plan = manifest(self._context, self._trials)
            self._journal = self._store.open_run(self._suite.name, plan, self._suite.text)
            self._listener.started(self._journal.id, len(self._trials))
            for trial in self._trials:
                self._triage(trial)
            if self._options.debug:
                self._debug()
            else:
                self._run_waiting()
            return self._summarise()
        finally:
            self._abandon()

    def _run_waiting(self) -> None:
        if shortage := self._slots.shortage(self._waiting):
            self._listener.note(shortage)
        preflight = Preflight(
            self._context,
            self._fingerprints,
            self._journal.folder,
            lambda trial, folder: self._job(trial, folder, cores=None),
            self._pass_on_signals,
        )
        # an executor of many machines compiles on each of them
        if not getattr(self._context.executor, "many_machines", False):
            preflight.compile(list(self._waiting))
        self._audits = preflight.audit(list(self._waiting))
        if self._options.time_limit is not None:
            self._deadline = time.monotonic() + self._options.time_limit
        while self._waiting or self._running or self._concurrent:
            self._waiting.extend(self._concurrent.ended())
            self._start_what_fits()
            if self._concurrent and not self._running:
                time.sleep(PAUSE)
            wait([item.handle for item in self._running])
            self._collect()
            lost = getattr(self._context.executor, "lost", "")
            if lost and not self._signals.count:
                raise SparsebenchError(lost)

    # --- before ------------------------------------------------------------------------

    def _triage(self, trial: Trial) -> None:
        """Record trials that cannot run or would not fit, reuse finished ones, and queue the
        rest."""
        reason = why_not_runnable(trial, self._plugins)
        if reason is not None:
            status, detail = reason[0], provenance.impersonal(reason[1])
            if "missing" in trial.data:
                trial = replace(trial, data={"missing": detail})
            self._finish(self._store.begin(trial), {"status": status, "detail": detail})
            return
        found = self._reusable_record(trial, self._fingerprints.take(trial))
        if found is not None:
            self._reuse(trial, found)
            return
        newest = self._store.records(trial.id)[-1:] if shares(self._options) else []
        for damaged in (one for one in newest if one.cause == DAMAGED):
            self._listener.note(f"{label(trial)}: runs anew, as its record is {damaged.detail}")
        if self._options.predict:
            self._predictions[trial.id] = predict(trial, self._plugins)
            detail = refusal(trial, self._predictions[trial.id])
            if detail and Status.OUT_OF_MEMORY not in exit_codes.expected(self._suite, trial):
                outcome = {"status": Status.SKIPPED, "cause": "memory limit", "detail": detail}
                self._finish(self._store.begin(trial), outcome)
                return
        self._waiting.append(trial)

    def _reusable_record(self, trial: Trial, fingerprint: dict[str, Any]) -> Record | None:
        """The record to reuse instead of running the trial, or None. A crashed or killed attempt is
        not reused if it left a checkpoint to resume from."""
        records = self._store.records(trial.id) if self._options.resume else []
        found = reusable(trial, records, fingerprint, self._options)
        if found is None or (trial.keep_model and not self._store.has_model(found)):
            return None
        resumable = found.status in RETRIED and self._checkpoint(trial) is not None
        return None if resumable else found

    def _reuse(self, trial: Trial, found: Record) -> None:
        self._reused += 1
        self._journal.recorded(found, reused=True)
        labels = {key: getattr(trial, key) for key in LABELS}
        labelled = replace(found.trial, **labels)
        self._records[trial.id] = replace(found, trial=labelled)
        self._listener.trial_ended(trial, self._records[trial.id], True)

    def _checkpoint(self, trial: Trial) -> Path | None:
        """The checkpoint of an earlier attempt that ran the present code; None if there is none or
        this run may not resume."""
        if not self._options.resume or self._options.rerun == "all":
            return None
        today = self._fingerprints.of(trial)
        return self._store.checkpoint(trial, lambda recorded: agrees(recorded, today))

    # --- during ------------------------------------------------------------------------

    def _start_what_fits(self) -> None:
        self._pass_on_signals([item.handle for item in self._running])
        if self._waiting and time.monotonic() > self._deadline:
            names = Counter(label(trial, seed=False) for trial in self._waiting)
            left = ", ".join(f"{n} x {name}" for name, n in names.items())
            self._listener.note(f"the time limit is reached; trials that do not begin: {left}")
            self._start_nothing_more()
        while (
            self._waiting
            and (self._room is None or len(self._running) < self._room())
            and self._slots.fits(self._waiting[0])
        ):
            trial = self._waiting.popleft()
            attempt = self._acquire(trial)
            if attempt is None:
                continue
            place = self._slots.take(trial)
            team = declared_processes(trial, self._plugins)
            job = replace(
                self._job(trial, attempt.folder, self._slots.cores(place)),
                resume_from=self._checkpoint(trial),
                processes=team["processes"],
                forks=team["forks"],
            )
            self._running.append(RunningTrial(attempt, self._context.submit(job), place))
            self._listener.trial_started(trial, self._trials.index(trial) + 1)

    def _acquire(self, trial: Trial) -> Attempt | None:
        """Begin an attempt. Returns None if another run has finished the trial (its record is
        reused) or is running it. Retries, and runs that share no results, skip this check."""
        fingerprint = self._fingerprints.take(trial, anew=True)
        if self._tries[trial.id] or not shares(self._options):
            return self._begin(trial, fingerprint)
        with self._store.locked():
            found = self._reusable_record(trial, fingerprint)
            if found is None:
                return None if self._concurrent.has(trial) else self._begin(trial, fingerprint)
        self._reuse(trial, found)
        return None

    def _begin(self, trial: Trial, fingerprint: dict[str, Any]) -> Attempt:
        attempt = self._store.begin(trial, fingerprint=fingerprint, run=self._journal.id)
        self._unfinished.append(attempt)
        self._journal.began(attempt)
        return attempt

    def _job(self, trial: Trial, folder: Path, cores: tuple[int, ...] | None) -> Job:
        return Job(
            trial=trial,
            folder=folder,
            data_dir=self._options.data_dir,
            plugin_files=self._plugins.files,
            cores=cores,
            contended=self._slots.contended,
            numba_cache=cache_folder(trial, self._plugins),
        )

    def _collect(self) -> None:
        """Report progress and store the outcomes of trials that have ended. A crashed trial is
        retried as often as it allows; with --fail-fast an unexpected failure stops the run."""
        for item in list(self._running):
            trial, outcome = item.attempt.trial, item.handle.poll()
            if outcome is None:
                if time.monotonic() - item.reported >= PROGRESS_PERIOD:
                    item.reported = time.monotonic()
                    self._listener.progress(trial, item.handle.progress())
                continue
            self._running.remove(item)
            self._slots.release(item.place)
            record = self._finish(item.attempt, outcome)
            self._tries[trial.id] += 1
            may_retry = self._tries[trial.id] <= trial.retries and not self._signals.count
            if record.status in RETRIED and may_retry:
                self._waiting.appendleft(trial)
            elif self._options.fail_fast and exit_codes.unexpected_failure(self._suite, record):
                self._start_nothing_more()

    def _finish(self, attempt: Attempt, outcome: Mapping[str, Any]) -> Record:
        """Store the outcome of an attempt and report it."""
        trial = attempt.trial
        record = self._records[trial.id] = self._record(attempt, outcome)
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
        fields["audit"] = auditing.audit_of(trial, fields, self._audits, self._plugins)
        fingerprint = self._fingerprints.of(trial)
        if fingerprint:  # the trial had a process
            others = [item.attempt.trial for item in self._running]
            fingerprint = self._fingerprints.after_run(trial, others)
        record = Record(
            trial=trial,
            attempt=attempt.number,
            fingerprint=fingerprint,
            debug=self._options.debug,
            **{**fields, "status": Status(fields["status"])},
        )
        self._store.finish(attempt, record)
        self._unfinished = [other for other in self._unfinished if other is not attempt]
        self._journal.recorded(record)
        return record

    def _pass_on_signals(self, handles: Sequence[Handle]) -> None:
        """The first signal asks the running trials to end, the second kills them."""
        if self._signals.count > self._stopping:
            self._stopping = self._signals.count
            if self._stopping == 1 and handles:
                self._listener.note("stopping; once more kills what is running")
            self._start_nothing_more()
            for handle in handles:
                handle.stop(kill=self._stopping > 1)

    def _start_nothing_more(self) -> None:
        self._waiting.clear()
        self._concurrent.forget()

    def _debug(self) -> None:
        from sparsebench.run.debug import run_here

        for trial in self._waiting:
            attempt = self._begin(trial, self._fingerprints.take(trial, anew=True))
            self._listener.trial_started(trial, 1)
            job = self._job(trial, attempt.folder, cores=None)
            run_here(job, lambda outcome: self._finish(attempt, outcome))  # noqa: B023

    # --- after -------------------------------------------------------------------------

    def _abandon(self) -> None:
        """Kill trials that an exception left under way, and record them as interrupted."""
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
        for line in exit_codes.never_updated(records):
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
