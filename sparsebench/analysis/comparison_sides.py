"""One side of a comparison, BASE or HEAD: the cells of a run, each with the outcome of every seed.

A cell is all trials that differ only in seed and fold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from sparsebench.analysis.number_format import plural
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.core.trial import REPLICATED, Trial
from sparsebench.metrics import Metrics, of_run
from sparsebench.store.attempts import DAMAGED
from sparsebench.store.record import Record
from sparsebench.suite.labels import FILE, brief, flat, label, name_of

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

Replicate = int | tuple[int, int]
"""A seed, or a number for a seed and fold; or a pair of that and a round, if both sides ran in turn
for several rounds."""

MUST_AGREE: dict[str, str] = {
    "machine": "all",
    "debug": "all",
    "memory method": "all",
    "exact memory": "all",
    "contended": "time",
    "threading layer": "time",
}
"""Circumstances in which the records of both sides must agree; the values say which metrics cannot
be compared otherwise: all, or only those of time."""

MOST_ALIKE = 50
"""The most cells of a side that are searched for the most similar ones."""


@dataclass
class Cell:
    """The replicates of one cell on one side.

    ok, failed, not_run  replicate -> record; interrupted, skipped and unsupported trials count as
                         not run
    """

    label: str = ""
    ok: dict[Replicate, Record] = field(default_factory=dict)
    failed: dict[Replicate, Record] = field(default_factory=dict)
    not_run: dict[Replicate, Record] = field(default_factory=dict)

    def put(self, record: Record, round: int | None = None) -> None:
        ended = self.failed if record.failed else self.not_run
        if record.status is Status.OK:
            ended = self.ok
        self.label = label(record.trial, seed=False)
        seed = record.trial.replicate
        ended[seed if round is None else (seed, round)] = record

    @property
    def records(self) -> list[Record]:
        return [*self.ok.values(), *self.failed.values(), *self.not_run.values()]

    def values(self, metric: Metric) -> dict[Replicate, float]:
        """The finite values of a metric by replicate, for trials that ended well, in order.

        Accuracy and loss depend on the seed, so they are averaged over the rounds of a seed. Time
        and memory are measured anew in each round, so each round is a replicate.
        """

        def order(key: Replicate) -> tuple[int, int]:
            return key if isinstance(key, tuple) else (key, 0)

        found = {key: self.ok[key].measures.get(metric.name) for key in sorted(self.ok, key=order)}
        known = {k: float(v) for k, v in found.items() if v is not None and math.isfinite(v)}
        if metric.scale not in ("points", "number"):
            return known
        by_seed: dict[Replicate, list[float]] = {}
        for key, value in known.items():
            by_seed.setdefault(order(key)[0], []).append(value)
        return {seed: Spread.of(values).mean for seed, values in by_seed.items()}

    def seeds(self, replicates: Iterable[Replicate]) -> tuple[str, ...]:
        """The seeds of these replicates that ended well, in order, with their folds."""
        trials = [self.ok[key].trial for key in replicates]
        found = sorted((trial.seed, trial.fold or "") for trial in trials)
        return tuple(f"{seed} fold {fold}" if fold else str(seed) for seed, fold in found)

    @property
    def exact_memory(self) -> bool:
        """Whether memory was measured exactly in all trials that ended well."""
        return all(record.settings.get("exact") is True for record in self.ok.values())

    def circumstances(self) -> dict[str, list[str]]:
        """The values of each circumstance of `MUST_AGREE` in this cell, usually one each."""
        found = [
            (r.machine.get("id", ""), r.debug, r.settings.get("memory_method", ""),
             r.settings.get("exact", ""), r.contended, r.settings.get("threading_layer") or "")
            for r in self.ok.values()
        ]  # fmt: skip
        return {name: sorted({str(r[i]) for r in found}) for i, name in enumerate(MUST_AGREE)}

    def disagreements(self, head: Cell) -> dict[str, str]:
        """The circumstances in which this cell and the same cell of HEAD differ, each with an
        explanation; see `MUST_AGREE` for the metrics that cannot be compared then.

        A circumstance in which the records of one side disagree counts too.
        """
        theirs, ours = self.circumstances(), head.circumstances()
        sides = {
            name: [" and ".join(v or "unknown" for v in one[name]) for one in (theirs, ours)]
            for name in MUST_AGREE
            if ours[name] and theirs[name] and len({*ours[name], *theirs[name]}) > 1
        }
        return {name: f"{name} differs: {a} against {b}" for name, (a, b) in sides.items()}

    def disturbed(self) -> str:
        """If more than half of the trials were disturbed, a phrase such as `load on 4 of 5 trials`;
        else empty."""
        marked = [r.noise["marks"] for r in self.ok.values() if r.noise.get("marks")]
        if 2 * len(marked) <= len(self.ok):
            return ""
        words = " and ".join(dict.fromkeys(str(word) for marks in marked for word in marks))
        return f"{words} on {len(marked)} of {len(self.ok)} trials"

    def outcome(self) -> str:
        """How the trials ended: `2 ok, 1 timeout`; or `damaged`, if a record cannot be read."""
        counts = Counter(
            DAMAGED if record.cause == DAMAGED else str(record.status) for record in self.records
        )
        return ", ".join(f"{count} {status}" for status, count in counts.items())


@dataclass(frozen=True)
class Pairs:
    """How many pairs of trials in turn are complete, of those planned."""

    complete: int
    planned: int

    def __str__(self) -> str:
        if self.complete >= self.planned:
            return plural(self.complete, "pair")
        return f"{self.complete} of {plural(self.planned, 'pair')}"


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    cells    by id, in the order of the run
    missing  ids of planned trials without a record
    facts    for the heading of a comparison: run, store, suite, machines, commit
    declared  the metrics that the run's manifest declares
    notes    sentences for the reader of a comparison
    pairs    if the sides ran in turn
    """

    cells: Mapping[str, Cell]
    missing: frozenset[str] = frozenset()
    facts: Mapping[str, Any] = field(default_factory=dict)
    declared: Metrics = field(default_factory=Metrics)
    notes: tuple[str, ...] = ()
    pairs: Pairs | None = None

    @property
    def metrics(self) -> Metrics:
        """The declared metrics, and default declarations for other measured quantities."""
        names = {name for record in self.records() for name in record.measures}
        return self.declared.with_measured(sorted(names))

    def records(self) -> Iterator[Record]:
        for cell in self.cells.values():
            yield from cell.records


def side_of(records: Iterable[Record]) -> Side:
    cells: dict[str, Cell] = {}
    for record in records:
        cells.setdefault(record.trial.cell, Cell()).put(record)
    return Side(cells)


def side(run: StoredRun) -> Side:
    records = run.records
    planned = {str(one["id"]) for one in run.manifest.get("trials", ())}
    facts = facts_of(run.manifest, records, run=run.id, store=str(run.path.parent.parent))
    done = {record.trial.id for record in records}
    return Side(side_of(records).cells, frozenset(planned - done), facts, of_run(run.manifest))


def facts_of(
    manifest: Mapping[str, Any], records: Iterable[Record], *, run: str, store: str
) -> dict[str, Any]:
    """The facts of a `Side`, from the manifest and the records of its run."""
    git = manifest.get("git") or {}
    return {
        "run": run,
        "store": store,
        "suite": str(manifest.get("suite", "")),
        "machines": sorted({str(r.machine["id"]) for r in records if r.machine.get("id")}),
        "commit": str(git.get("commit", "")) + ("+" if git.get("dirty") else ""),
    }


def nearest_difference(base: Side, head: Side) -> str:
    """A phrase that names the keys in which the most similar cells of the two sides differ; empty
    if a side has no cells."""
    specs = [
        [_flat_spec(one.records[0].trial) for one in islice(side.cells.values(), MOST_ALIKE)]
        for side in (base, head)
    ]

    def shown(value: Any) -> str:
        text = brief(value) if value is not None else "none"
        return text if len(text) <= 24 else f"{text[:12]}..."

    pairs = [
        [
            f"{key} ({shown(a.get(key))}, {shown(b.get(key))})"
            for key in dict.fromkeys([*a, *b])
            if a.get(key) != b.get(key)
        ]
        for a in specs[0]
        for b in specs[1]
    ]
    keys = min(pairs, key=len, default=[])
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"the most alike differ in {', '.join(keys[:3])}{more}" if pairs else ""


def _flat_spec(trial: Trial) -> dict[str, Any]:
    """The trial's spec by dotted key; files appear with their name, without their folder."""
    spec = {key: value for key, value in trial.spec().items() if key not in REPLICATED}
    if trial.dataset.get("name") == FILE:
        spec["dataset"] = {"name": name_of(trial.dataset)}
    return flat(spec)
