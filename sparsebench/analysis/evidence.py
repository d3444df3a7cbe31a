"""What a report is made from: the trials of its runs, labelled, and pooled where that is fair."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsebench.analysis.formats import escape, plural
from sparsebench.analysis.labels import settings
from sparsebench.analysis.marks import marked_labels
from sparsebench.core.metric import Metric
from sparsebench.core.status import FAILURES, Status
from sparsebench.core.trial import Trial
from sparsebench.errors import SuiteError
from sparsebench.metrics import PRIMARY, Metrics, of_run
from sparsebench.store.frames import manifest_commit, trials_frame
from sparsebench.store.record import Record
from sparsebench.suite.labels import told_apart
from sparsebench.suite.where import matches

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

NONE = pd.Series(dtype="float64")
FAILED = frozenset(str(status) for status in FAILURES)
CELL = ["setting", "topology_label", "backend_label"]
"""What a table calls a cell: replicates over seeds share these."""


@dataclass(frozen=True)
class Evidence:
    """frame    the contract's columns and: primary (the metric that the trial's objective is judged
              by), cell, setting, topology_label, backend_label, apart (the part of the setting
              that is no parameter), expected (the suite expects this status), ok; one row per
              record, by `index`
    records  the record of each row
    runs     the run of each row
    metrics  those that the runs declare, and what was measured without
    varied   the keys that make up a setting; empty if all trials share one
    notes    what was not pooled, in sentences
    judged   the verdicts on the suites' claims by family-wise error, once they are worked out:
             several places of a report show them
    """

    frame: pd.DataFrame
    records: list[Record]
    runs: list[StoredRun]
    metrics: Metrics = field(default_factory=Metrics)
    varied: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    judged: dict[float, list[Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def ok(self) -> pd.DataFrame:
        """The rows that finished well: the only ones whose numbers are pooled."""
        return self.frame[self.frame["ok"]]

    @property
    def primary(self) -> Metric:
        """What most of the trials that finished are judged by: a metric after the last epoch."""
        frame = self.ok if len(self.ok) else self.frame
        names = list(frame["primary"])
        return self.metrics[max(dict.fromkeys(names), key=names.count, default=PRIMARY)]

    def by_primary(self) -> list[Evidence]:
        """Of each primary metric the trials that are judged by it, as far as any was measured."""
        parts = [part for _, part in self.frame.groupby("primary", sort=False)]
        found = [replace(self, frame=part) for part in parts]
        return [one for one in found if one.ok.get(one.primary.name, NONE).notna().any()]

    @property
    def of_primary(self) -> Evidence:
        """Only the trials that are judged by `primary`."""
        return replace(self, frame=self.frame[self.frame["primary"] == self.primary.name])

    @property
    def trained(self) -> Evidence:
        """Without the trials that time a kernel."""
        return replace(self, frame=self.frame[self.frame["kernel"] == ""])

    @property
    def timed(self) -> Evidence:
        """Only the trials that time a kernel."""
        return replace(self, frame=self.frame[self.frame["kernel"] != ""])


def evidence(stored_runs: Sequence[StoredRun]) -> Evidence:
    """All records of the runs, but each seed of a cell once per machine."""
    pairs, repeated = _once([(run, record) for run in stored_runs for record in run.records])
    runs = [run for run, _ in pairs]
    records = [record for _, record in pairs]
    frame = _frame(pairs)
    trials = [record.trial for record in records]
    varied, values = settings(trials)
    frame["primary"] = _primaries(records)
    frame["cell"] = [trial.cell for trial in trials]
    frame["topology_label"] = _labels([trial.topology for trial in trials])
    backends = _labels([trial.backend for trial in trials])
    frame["backend_label"] = marked_labels(backends, records)
    frame["ok"] = frame["status"] == str(Status.OK)
    expects = {run.id: suite_facts(run).get("expect", []) for run in stored_runs}
    frame["expected"] = [_expected(expects[run.id], record) for run, record in pairs]
    apart, notes = _kept_apart(frame)
    frame["apart"] = apart
    frame["setting"] = [", ".join(filter(None, both)) for both in zip(values, apart)]
    if repeated:
        notes.append(
            f"{plural(repeated, 'record repeats', 'records repeat')} a seed that a later record "
            "has too; the later one is shown."
        )
    notes += [note for run in stored_runs if (note := _unfinished(run))]
    measured = {name for record in records for name in record.measures}
    metrics = of_run(*(run.manifest for run in stored_runs)).with_measured(sorted(measured))
    return Evidence(frame, records, runs, metrics, [*varied, *_apart_names(frame)], notes)


def _primaries(records: Sequence[Record]) -> list[str]:
    """By record; one that did not finish has that of others with its objective."""
    said = {repr(r.trial.objective): str(r.settings["primary"])
            for r in records if "primary" in r.settings}  # fmt: skip
    return [said.get(repr(record.trial.objective), PRIMARY) for record in records]


def suite_facts(run: StoredRun) -> Mapping[str, Any]:
    """The suite file of a run, as data; empty if the run has none."""
    try:
        return tomllib.loads(run.suite_text or "")
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"the suite stored with run {run.id} cannot be read: {error}") from None


def _unfinished(run: StoredRun) -> str:
    """A sentence if the run planned trials that have no record."""
    planned = len(run.manifest.get("trials", ()))
    without = planned - len(run.records)
    if without <= 0:
        return ""
    return (
        f"Run {escape(run.id)} is not complete: {without} of its "
        f"{plural(planned, 'trial')} {'has' if without == 1 else 'have'} no record."
    )


def _once(
    pairs: list[tuple[StoredRun, Record]],
) -> tuple[list[tuple[StoredRun, Record]], int]:
    """A trial run twice on one machine is no second seed: keep the later record."""
    kept: dict[tuple[str, str, bool], tuple[StoredRun, Record]] = {}
    repeated = 0
    for run, record in pairs:
        key = (record.trial.id, str(record.machine.get("id", "")), record.contended)
        before = kept.get(key)
        if before is not None and before[1] != record:
            repeated += 1
        if before is None or _is_later((run, record), before):
            kept[key] = (run, record)
    return list(kept.values()), repeated


def _is_later(one: tuple[StoredRun, Record], other: tuple[StoredRun, Record]) -> bool:
    """By the number of the attempt where both are of one store: clocks are set back."""
    if one[0].store.path == other[0].store.path:
        return one[1].attempt > other[1].attempt
    return one[1].started > other[1].started


def _frame(pairs: list[tuple[StoredRun, Record]]) -> pd.DataFrame:
    """A row per pair, in their order, each with the id and the commit of its run."""
    frames = []
    for _, group in itertools.groupby(pairs, key=lambda pair: pair[0].id):
        part = list(group)
        run = part[0][0]
        records = [record for _, record in part]
        frames.append(trials_frame(records, run.id, manifest_commit(run.manifest)))
    return pd.concat(frames, ignore_index=True) if frames else trials_frame([], "")


def _labels(components: list[dict[str, Any]]) -> list[str]:
    distinct = list({repr(one): one for one in components}.values())
    known = {repr(one): told_apart(one, distinct) for one in distinct}
    return [known[repr(one)] for one in components]


def _expected(expects: Sequence[Mapping[str, Any]], record: Record) -> bool:
    """Whether one of the suite's [[expect]] tables says that this trial ends like this."""
    return any(
        str(record.status) == one.get("status") and _points_at(one.get("where", {}), record.trial)
        for one in expects
    )


def _points_at(where: Mapping[str, Any], trial: Trial) -> bool:
    try:
        return matches(where, trial)
    except SuiteError:
        return False


def _apart_names(frame: pd.DataFrame) -> list[str]:
    """What keeps trials that ran apart; a trial that never ran has no machine."""
    ran = frame[frame["machine"] != ""]
    return [name for name in ("machine", "contended") if ran[name].nunique() > 1]


def _kept_apart(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Per row what keeps it out of a pool with others, and a sentence on that."""
    names = _apart_names(frame)
    texts = [""] * len(frame)
    if "machine" in names:
        texts = [f"machine {machine}" if machine else "" for machine in frame["machine"]]
    if "contended" in names:
        for i, contended in enumerate(frame["contended"]):
            if contended:
                texts[i] = ", ".join(filter(None, [texts[i], "contended"]))
    notes = []
    if names:
        notes.append(
            f"Records that differ in {' and '.join(names)} are not pooled: they are separate rows."
        )
    return texts, notes
