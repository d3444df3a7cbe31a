"""The section on history: how the numbers of each cell changed over the runs of one suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.analysis.number_format import join, signed
from sparsebench.analysis.report_data import CELL, ReportData
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.report.chart_style import MARK
from sparsebench.report.document import (
    Axis,
    Block,
    Cell,
    Chart,
    Code,
    Panel,
    Section,
    Series,
    Table,
)
from sparsebench.report.document import number as number_of
from sparsebench.store.export_columns import manifest_commit
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    from sparsebench.store.record import Record
    from sparsebench.store.store import StoredRun

COSTS = ("epoch_seconds", "net_peak_bytes")

MOST_LINES = 8
"""The most cells in a chart: those whose number changed most."""

NOTE = [
    "A run has a number where it trained; what it took over from an earlier run counts there only. "
    "Means are over the seeds that all runs of a cell have. Times of different machines are not "
    "comparable. Change: from the first run to the last; whether it is one, ",
    Code("sparsebench compare"), " decides.",
]  # fmt: skip


@dataclass(frozen=True)
class Past:
    """A cell (the trials that differ only in seed and fold) over several runs: its records by the
    position of the run, from 0."""

    words: str
    records: dict[int, list[Record]]

    def spread(self, run: int, name: str) -> Spread:
        by_run = [{one.trial.replicate for one in records} for records in self.records.values()]
        seeds = set.intersection(*by_run) or set.union(*by_run)
        found = [one for one in self.records.get(run, []) if one.trial.replicate in seeds]
        measures = [one.measures.get(name) for one in found]
        return Spread.of([float(value) for value in measures if value is not None])


def history(runs: Sequence[StoredRun], found: ReportData) -> list[Section]:
    """The section with a chart and a table of the cells that several of these runs measured; empty
    if there are none. A reused record counts only for the run that measured it.

    found  the trials of the report, for labels and metrics
    """
    ordered = sorted(runs, key=lambda run: run.id)
    cells = _cells(ordered, found)
    if not cells:
        return []
    metrics = [found.metrics[name] for name in (found.primary.name, *COSTS)]
    names = [_run_name(run) for run in ordered]
    blocks: list[Block] = [NOTE]
    if (chart := _chart(cells, metrics, names)) is not None:
        blocks.append(chart)
    blocks.append(_table(cells, metrics, names))
    return [Section("History", blocks)]


def _cells(runs: Sequence[StoredRun], found: ReportData) -> list[Past]:
    labels = {
        cell: join(*words) for cell, *words in found.frame[["cell", *CELL]].itertuples(index=False)
    }
    past: dict[str, Past] = {}
    seen: set[tuple[str, str]] = set()
    for number, run in enumerate(runs):
        for record in run.records:
            key = (record.trial.id, record.started)
            if record.status == "ok" and key not in seen:
                seen.add(key)
                cell = record.trial.cell
                words = labels.get(cell) or label(record.trial, seed=False)
                records = past.setdefault(cell, Past(words, {})).records
                records.setdefault(number, []).append(record)
    return [one for one in past.values() if len(one.records) > 1]


def _run_name(run: StoredRun) -> str:
    """The name of a run in the history: `2026-11-21 364c0bc`."""
    day = f"{run.id[:4]}-{run.id[4:6]}-{run.id[6:8]}" if run.id[:8].isdigit() else run.id
    return f"{day} {manifest_commit(run.manifest)[:7]}".strip()


def _chart(cells: Sequence[Past], metrics: Sequence[Metric], names: Sequence[str]) -> Chart | None:
    panels, toned = [], []
    for metric in metrics:
        known = [one for one in cells if len(_points(one, metric)) > 1]
        most = sorted(known, key=lambda one: -_moved(one, metric))[:MOST_LINES]
        series = []
        for one in most:
            points = _points(one, metric)
            shown = [number_of(metric, spread).text for _, spread in points]
            series.append(Series(
                [float(run) for run, _ in points], [spread.mean for _, spread in points],
                one.words, one.words, "line", sizes=[MARK] * len(points),
                hover={
                    "cell": [one.words] * len(points),
                    "run": [names[run] for run, _ in points],
                    metric.heading: ["".join(text) for text in shown],
                },
            ))  # fmt: skip
            toned.append(one.words)
        if series:
            kind = {"per second": "count", "number": "number"}.get(metric.unit, metric.unit)
            y = Axis(metric.heading, kind)  # type: ignore[arg-type]
            panels.append(Panel(metric.heading, Axis("run", names=names), y, series, 300))
    if not panels:
        return None
    labels = list(dict.fromkeys(toned))
    left = f" The {MOST_LINES} that changed most." if len(cells) > MOST_LINES else ""
    caption = f"A line is a cell, a mark the mean over its seeds.{left}"
    return Chart("history", "Cells from run to run", caption, panels, labels, labels)


def _points(one: Past, metric: Metric) -> list[tuple[int, Spread]]:
    found = [(run, one.spread(run, metric.name)) for run in sorted(one.records)]
    return [(run, spread) for run, spread in found if spread.n]


def _moved(one: Past, metric: Metric) -> float:
    means = [spread.mean for _, spread in _points(one, metric)]
    return (max(means) - min(means)) / (abs(means[0]) or 1.0)


def _table(cells: Sequence[Past], metrics: Sequence[Metric], names: Sequence[str]) -> Table:
    rows = []
    for one in cells:
        for metric in metrics:
            points = dict(_points(one, metric))
            if len(points) < 2:
                continue
            first, last = (points[at].mean for at in (min(points), max(points)))
            relative = metric.scale != "points" and first != 0
            change = last / first - 1 if relative else last - first
            numbers = [
                number_of(metric, points[run], trials=[r.trial.id for r in one.records[run]])
                if run in points else Cell()
                for run in range(len(names))
            ]  # fmt: skip
            moved = Cell(signed(metric, change, relative=relative), change)
            rows.append([one.words, metric.heading, *numbers, moved])
    return Table(["cell", "metric", *names, "change"], rows, left=2)
