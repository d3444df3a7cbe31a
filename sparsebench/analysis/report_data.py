"""The data of a report: the trials of its runs with labels, pooled if they are comparable."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsebench.analysis.footnote_marks import marked_labels, marked_topologies
from sparsebench.analysis.number_format import join, plural
from sparsebench.analysis.trial_settings import (
    DATA_SIZE,
    dataset_notes,
    keys_fixed_by_dataset,
    settings,
    with_keys_removed,
)
from sparsebench.core.metric import Metric
from sparsebench.core.status import FAILURES, Status
from sparsebench.core.trial import Trial, canonical
from sparsebench.errors import SuiteError, printable
from sparsebench.metrics import PRIMARY, Metrics, of_run
from sparsebench.store.export_columns import manifest_commit, trials_frame, with_parameters
from sparsebench.store.record import Record
from sparsebench.suite.labels import (
    brief,
    distinct_label,
)
from sparsebench.suite.selectors import differing, matches
from sparsebench.units import brief_seconds, brief_size

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

NONE = pd.Series(dtype="float64")
FAILED = frozenset(str(status) for status in FAILURES)
BAD = [*FAILED, str(Status.INTERRUPTED)]
NOT_RUN = [str(Status.SKIPPED), str(Status.UNSUPPORTED)]

NO_NETWORK = "no network"
"""The topology label of trials that train no network."""

CELL = ["setting", "topology_label", "backend_label"]
"""Columns whose labels identify a cell; the rows of a cell are replicates over seeds."""

SIZE = (DATA_SIZE, "model.hidden")
"""Keys of a trial that make its network larger."""

SPARSITY = ("topology.density", "topology.epsilon")
"""Keys of a trial that give its network more connections."""


@dataclass(frozen=True)
class ReportData:
    """The trials of a report with their labels.

    frame    one row per record, by `index`. Columns are those of an export and:
               replicate       a number that is unique for each seed and fold of a cell
               folds           the number of folds; 0 without folds
               primary         the primary metric of the trial's objective
               guess           the value of that metric for the best constant prediction
               test_samples    number of test samples
               cell, setting, topology_label, backend_label, backend_name   labels
               apart           the machine, and whether other trials ran at the same time, if the
                               records differ in these
               expected        whether the suite expects this status
               ok              whether the trial ended well
               ended           the status, with the limit that the trial exceeded
    records  the record of each row
    runs     the run of each row
    metrics  metrics that the runs declare, and those measured without a declaration
    varied   the keys that make up a setting; empty if all trials share one setting
    folded   keys whose value follows from the data set: they are named once, in `notes`, and are
             not part of any label
    notes    sentences on the values that belong to each data set, and on records that were not
             pooled
    judged   the verdicts on the suites' claims, filled on first use
    """

    frame: pd.DataFrame
    records: list[Record]
    runs: list[StoredRun]
    metrics: Metrics = field(default_factory=Metrics)
    varied: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    judged: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def ok(self) -> pd.DataFrame:
        """The rows of trials that ended well; only their numbers are pooled."""
        return self.frame[self.frame["ok"]]

    @property
    def primary(self) -> Metric:
        """The primary metric of most of the finished trials, after the last epoch."""
        frame = self.ok if len(self.ok) else self.frame
        names = list(frame["primary"])
        return self.metrics[max(dict.fromkeys(names), key=names.count, default=PRIMARY)]

    def by_primary(self) -> list[ReportData]:
        """The trials split by their primary metric; metrics without a value are left out."""
        parts = [part for _, part in self.frame.groupby("primary", sort=False)]
        found = [replace(self, frame=part) for part in parts]
        return [one for one in found if one.ok.get(one.primary.name, NONE).notna().any()]

    @property
    def of_primary(self) -> ReportData:
        """Only the trials whose primary metric is `primary`."""
        return replace(self, frame=self.frame[self.frame["primary"] == self.primary.name])

    @property
    def trained(self) -> ReportData:
        """Only the trials that train, and not those that time a kernel."""
        return replace(self, frame=self.frame[self.frame["kernel"] == ""])

    @property
    def timed(self) -> ReportData:
        """Only the trials that time a kernel."""
        return replace(self, frame=self.frame[self.frame["kernel"] != ""])

    def records_of(self, frame: pd.DataFrame) -> list[Record]:
        """The records of the rows of a part of the frame."""
        return [self.records[int(str(i))] for i in frame.index]


def report_data(stored_runs: Sequence[StoredRun]) -> ReportData:
    """The data of a report on these runs: all records, but only the latest of those that repeat a
    trial on the same machine."""
    pairs, repeated = _once([(run, record) for run in stored_runs for record in run.records])
    runs = [run for run, _ in pairs]
    records = [record for _, record in pairs]
    trials = [record.trial for record in records]
    frames = [
        trials_frame([record for _, record in part], id, manifest_commit(part[0][0].manifest))
        for id, group in itertools.groupby(pairs, key=lambda pair: pair[0].id)
        if (part := list(group))
    ]
    frame = pd.concat(frames, ignore_index=True) if frames else trials_frame([], "")
    said = {repr(r.trial.objective): str(r.settings["primary"])
            for r in records if "primary" in r.settings}  # fmt: skip
    frame["primary"] = [said.get(repr(trial.objective), PRIMARY) for trial in trials]
    frame = with_parameters(frame, trials)
    frame["cell"] = [trial.cell for trial in trials]
    frame["replicate"] = [trial.replicate for trial in trials]
    frame["folds"] = [trial.folds or 0 for trial in trials]
    frame["backend_name"] = [str(trial.backend.get("name", "")) for trial in trials]
    folded = keys_fixed_by_dataset(trials)
    plain = [with_keys_removed(trial, *folded) for trial in trials]
    topologies = _labels([trial.topology for trial in plain])
    frame["topology_label"] = marked_topologies(topologies, records)
    frame["backend_label"] = marked_labels(_labels([trial.backend for trial in plain]), records)
    other = {canonical(r.trial.trainer): printable(str(r.settings["computed_by"]))
             for r in records if r.settings.get("computed_by")}  # fmt: skip
    for row, trial in enumerate(trials if other else ()):
        if (name := other.get(canonical(trial.trainer))) is not None:
            frame.loc[row, ["topology_label", "backend_label"]] = [NO_NETWORK, name]
    frame["ok"] = frame["status"] == str(Status.OK)
    frame["ended"] = [ended(record) for record in records]
    guesses = [record.settings.get("guess") or {} for record in records]
    known = [guess.get(name) for guess, name in zip(guesses, frame["primary"])]
    frame["guess"] = pd.Series(known, index=frame.index, dtype="float64")
    counts = [record.settings.get("test_samples") for record in records]
    frame["test_samples"] = pd.Series(counts, index=frame.index, dtype="float64")
    expects = {run.id: suite_facts(run).get("expect", []) for run in stored_runs}
    frame["expected"] = [
        any(
            str(record.status) == one.get("status")
            and is_selected_by(one.get("where", {}), record.trial)
            for one in expects[run.id]
        )
        for run, record in pairs
    ]
    ran = frame[frame["machine"] != ""]  # a trial that never ran has no machine
    differing = [name for name in ("machine", "contended") if ran[name].nunique() > 1]
    frame["apart"] = [
        join(
            f"machine {machine}" if machine and "machine" in differing else "",
            "contended" if contended and "contended" in differing else "",
        )
        for machine, contended in zip(frame["machine"], frame["contended"])
    ]
    varied, values = settings(plain)
    frame["setting"] = [printable(join(*both)) for both in zip(values, frame["apart"])]
    notes = [printable(text) for text in dataset_notes(trials, folded)]
    if differing:
        names = " and ".join(differing)
        notes.append(f"Records that differ in {names} are not pooled: they are separate rows.")
    if repeated:
        notes.append(
            f"{plural(repeated, 'record repeats', 'records repeat')} a seed that a later record "
            "has too; the later one is shown."
        )
    for run in stored_runs:
        planned = len(run.manifest.get("trials", ()))
        if (absent := planned - len(run.records)) > 0:
            verb = f"{absent} of its {plural(planned, 'trial')} {'has' if absent == 1 else 'have'}"
            notes.append(f"Run {run.id} is not complete: {verb} no record.")
    measured = {name for record in records for name in record.measures}
    metrics = of_run(*(run.manifest for run in stored_runs)).with_measured(sorted(measured))
    return ReportData(_compact(frame), records, runs, metrics, [*varied, *differing], folded, notes)


def _compact(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame with one block of memory per type. A report selects rows of it some thousand
    times, and pandas copies each block separately."""
    texts = frame.columns[frame.dtypes == "str"]
    return frame.astype(dict.fromkeys(texts, object)).copy()


def suite_facts(run: StoredRun) -> Mapping[str, Any]:
    """The suite file of a run, as data; empty if the run has none."""
    try:
        return tomllib.loads(run.suite_text or "")
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"the suite stored with run {run.id} cannot be read: {error}") from None


def is_selected_by(where: Mapping[str, Any], trial: Trial) -> bool:
    """Whether `where`, a table of keys and values in a suite, selects the trial. False if it has
    keys that this version does not know."""
    try:
        return matches(where, trial)
    except SuiteError:
        return False


def differences(required: Mapping[str, Any], trial: Trial) -> list[tuple[str, str, str]]:
    """For each key in which a trial is not as required: the key, the trial's value, and the
    required value, in words. A key that this version does not know is included."""
    found = []
    for key, wanted in required.items():
        try:
            found += differing({key: wanted}, trial)
        except SuiteError:
            found.append((key, "not known", brief(wanted)))
    return found


def _once(
    pairs: list[tuple[StoredRun, Record]],
) -> tuple[list[tuple[StoredRun, Record]], int]:
    """Keep the latest record of each trial on each machine, contended and not; also returns how
    many other records were left out. Within one store, attempt numbers tell which record is later,
    because clocks can be set back."""
    kept: dict[tuple[str, str, bool], tuple[StoredRun, Record]] = {}
    repeated = 0
    for run, record in pairs:
        key = (record.trial.id, str(record.machine.get("id", "")), record.contended)
        if key not in kept:
            kept[key] = (run, record)
            continue
        other_run, other = kept[key]
        repeated += other != record
        same_store = run.store.path == other_run.store.path
        if record.attempt > other.attempt if same_store else record.started > other.started:
            kept[key] = (run, record)
    return list(kept.values()), repeated


def _labels(components: list[dict[str, Any]]) -> list[str]:
    distinct = list({repr(one): one for one in components}.values())
    known = {repr(one): printable(distinct_label(one, distinct)) for one in distinct}
    return [known[repr(one)] for one in components]


# --- parts of a frame ----------------------------------------------------------------


def groups(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the parts of a frame with equal labels in the columns `by`, in the order in which
    labels first appear; the first column varies slowest. A single label is not wrapped in a
    tuple."""
    keys = [frame[key].astype(pd.CategoricalDtype(list(frame[key].unique()))) for key in by]
    yield from frame.groupby(keys if len(keys) > 1 else keys[0], observed=True)


def outcome(part: pd.DataFrame) -> str:
    """How the unsuccessful trials of a cell ended: `2 timeout after 20 min`; empty if all are
    ok."""
    bad = part.loc[~part["ok"], "ended"].value_counts(sort=False)
    return ", ".join(f"{n} {status}" for status, n in bad.items())


def ended(record: Record) -> str:
    """How a trial ended, with the limit that it exceeded: `out-of-memory in 3 GiB`."""
    limit, allowed = record.trial.memory_limit, record.trial.timeout
    if record.status == Status.OUT_OF_MEMORY and limit:
        return f"{record.status} in {brief_size(limit).replace('.0 ', ' ')}"
    if record.status == Status.TIMEOUT and allowed:
        words = brief_seconds(allowed).replace("m00s", "m").replace("h00m", "h")
        return f"{record.status} after {words.replace('.0s', 's')}"
    return str(record.status)


# --- trials that are equal but for what a question varies ----------------------------


def trials_of(report_data: ReportData) -> list[Trial]:
    """The trial of each row of the frame."""
    return [record.trial for record in report_data.records_of(report_data.frame)]


def setting_labels(report_data: ReportData, *keys: str) -> list[str]:
    """The setting of each row in words, leaving out these keys."""
    left_out = (*keys, *report_data.folded)
    words = settings([with_keys_removed(trial, *left_out) for trial in trials_of(report_data)])[1]
    return [printable(join(*both)) for both in zip(words, report_data.frame["apart"])]


def topology_labels(report_data: ReportData, *keys: str) -> list[str]:
    """The topology of each row, distinguished from the others, leaving out these keys."""
    left_out = (*keys, *report_data.folded)
    return _labels(
        [with_keys_removed(trial, *left_out).topology for trial in trials_of(report_data)]
    )


def families(report_data: ReportData, *keys: str) -> list[str]:
    """An id per row that is the same for trials that differ only in the seed and these keys."""
    return [
        with_keys_removed(trial, *keys, *report_data.folded).id for trial in trials_of(report_data)
    ]
