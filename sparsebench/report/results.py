"""The tables on results, costs and failures. Each `_table` function makes one table from the report
data, or returns None if there is nothing to show.

A cell is all trials that differ only in seed and fold (where it is not a cell of a table).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pandas as pd

from sparsebench.analysis.best import best_cells
from sparsebench.analysis.footnote_marks import noisy
from sparsebench.analysis.number_format import (
    UNKNOWN,
    count,
    fixed,
    in_unit,
    join,
    one,
    sentence_list,
    share,
    signed,
)
from sparsebench.analysis.report_data import (
    BAD,
    CELL,
    NOT_RUN,
    ReportData,
    groups,
    outcome,
    trials_of,
)
from sparsebench.analysis.statistics import Spread, interquartile
from sparsebench.analysis.trial_settings import common_settings, component_settings
from sparsebench.core.metric import STEP_PARTS, Metric
from sparsebench.core.status import Status
from sparsebench.errors import printable
from sparsebench.metrics import BUILT_IN
from sparsebench.report.document import Bold, Cell, Code, Table, number, table
from sparsebench.store.record import CONTRADICTED, SIMULATED
from sparsebench.store.record import UNKNOWN as NO_CLAIM

PER_CONNECTION = Metric(
    "bytes_per_connection", "bytes", "exact", -1, title="stored per connection", whole=False
)
PER_EPOCH = {
    f"{name}_seconds_per_epoch": Metric(
        f"{name}_seconds_per_epoch", "seconds", "ratio", -1, title=f"{what}, mean over epochs"
    )
    for name, what in (("data", "assembling batches"), ("topology", "topology updates"))
}
"""The parts of `epoch_seconds`, as means over all epochs."""

PARTS_PER_EPOCH = {
    f"{name}_seconds_per_epoch": Metric(
        f"{name}_seconds_per_epoch", "seconds", "ratio", -1, title=f"{what}, mean over epochs"
    )
    for name, what in zip(STEP_PARTS, ("gathering batches", "forward", "backward", "updates"))
}
"""The parts of a compiled step."""

TIMES = ("epoch_seconds", *PER_EPOCH, "warmup_seconds", "wall_seconds", "samples_per_second")
MEMORY = ("net_peak_bytes", "peak_rss_bytes", "stored_bytes", "method_bytes")


def result_table(report_data: ReportData) -> Table | None:
    """The mean of the primary metric after the last epoch, by topology and backend. The best of
    each setting is bold, so trials at chance should be left out before (see `above_chance`)."""
    frame, metric = report_data.frame, report_data.primary
    backends = list(dict.fromkeys(frame["backend_label"]))
    rows = []
    for setting, part in groups(frame, ["setting"]):
        best = _best(part, metric)
        for topology, sub in groups(part, ["topology_label"]):
            cells = [
                _result(sub[sub["backend_label"] == one], metric, (topology, one) in best)
                for one in backends
            ]
            rows.append([setting, topology, *cells])
    return table([_setting(report_data), "topology", *backends], rows, left=2)


def _result(cell: pd.DataFrame, metric: Metric, best: bool) -> Cell | str:
    """The result of a cell: `**92.4 ± 0.3 %** (n = 3, 1 timeout)`; how its trials ended if there is
    no number."""
    measured = _spread(cell, metric)
    if measured.n == 0:
        ended = ", ".join(dict.fromkeys(map(str, cell.loc[~cell["ok"], "ended"])))
        return Cell(ended or ("" if cell.empty else UNKNOWN), trials=list(cell["trial"]))
    tail = f" ({join(f'n = {measured.n}', outcome(cell))})"
    return number(metric, measured, bold=best, tail=tail, trials=list(cell["trial"]))


def time_table(report_data: ReportData) -> Table | None:
    """Seconds per epoch and in all, and training samples per second."""
    metrics = {**report_data.metrics, **PER_EPOCH}
    return _by_cell(report_data, [metrics[name] for name in TIMES], noisy)


def parts_table(report_data: ReportData) -> Table | None:
    """Seconds per epoch in each part of the step, of the cells whose steps are compiled."""
    frame = report_data.frame
    compiled = replace(report_data, frame=frame[frame["forward_seconds"].notna()])
    return _by_cell(compiled, list(PARTS_PER_EPOCH.values()), bold=False)


def memory_table(report_data: ReportData) -> Table | None:
    """The net peak, the peak of the whole process, the stored bytes of the network and of its
    topology method, and the stored bytes per connection."""
    return _by_cell(report_data, [*(report_data.metrics[name] for name in MEMORY), PER_CONNECTION])


def _by_cell(
    report_data: ReportData,
    metrics: Sequence[Metric],
    mark: Callable[[pd.DataFrame], str] = lambda cell: "",
    bold: bool = True,
) -> Table | None:
    """A table with a row per cell. `mark` follows the first number of a row.

    bold  whether the lowest value of the first metric in each setting is bold
    """
    frame = report_data.frame[~report_data.frame["status"].isin(NOT_RUN)]
    derived = {PER_CONNECTION.name: frame["stored_bytes"] / frame["connections"]}
    if "peak_tree_pss_bytes" in frame:  # of several processes together
        derived["peak_rss_bytes"] = frame[["peak_rss_bytes", "peak_tree_pss_bytes"]].max(axis=1)
    for name in (*PER_EPOCH, *PARTS_PER_EPOCH):
        derived[name] = frame[name.removesuffix("_per_epoch")] / frame["epochs"]
    frame = frame.assign(**derived)
    used = [metric for metric in metrics if frame[metric.name].notna().any()]
    rows = []
    for setting, part in groups(frame, ["setting"]):
        best = _best(part, used[0]) if used and bold else set()
        for (topology, backend), cell in groups(part, CELL[1:]):
            ok = cell[cell["ok"]]
            numbers = [number(metric, _spread(cell, metric)) for metric in used]
            if numbers and len(ok):
                first, lowest = _spread(cell, used[0]), (topology, backend) in best
                numbers[0] = number(used[0], first, bold=lowest, tail=mark(ok))
            ended = Cell(join(len(ok) or "", outcome(cell)), float(len(ok)), list(cell["trial"]))
            rows.append([setting, topology, backend, *numbers, ended])
    header = [_setting(report_data), "topology", "backend"]
    return table([*header, *(one.heading for one in used), "n"], rows, left=3)


def _best(part: pd.DataFrame, metric: Metric) -> set[tuple[str, str]]:
    """Topology and backend of the cells that may be bold: see `best_cells`."""
    cells = {labels: cell[cell["ok"]] for labels, cell in groups(part, CELL[1:])}
    by_seed = [
        {int(one): float(value) for one, value in zip(cell["replicate"], cell[metric.name])
         if value == value}
        for cell in cells.values()
    ]  # fmt: skip
    places = best_cells(by_seed, metric.better or -1)
    return {labels for place, labels in enumerate(cells) if place in places}


def _spread(cell: pd.DataFrame, metric: Metric) -> Spread:
    return Spread.of(cell.loc[cell["ok"], metric.name])


def interquartile_table(report_data: ReportData) -> Table | None:
    """The interquartile means of the primary metric, for cells with at least eight seeds."""
    metric, rows = report_data.primary, []
    for labels, cell in groups(report_data.ok, CELL):
        values = cell[metric.name].dropna().tolist()
        if (found := interquartile(values)) is not None:
            low, high = (in_unit(metric, one(x)) for x in found[1])
            interval = Cell(f"{low} to {high}", found[1][0])
            rows.append([*labels, number(metric, one(found[0])), interval, len(values)])
    header = [_setting(report_data), "topology", "backend",
              f"interquartile mean of the {metric.heading.removeprefix('test ')}",
              "95 % interval", "n"]  # fmt: skip
    return table(header, rows, left=3)


def other_table(report_data: ReportData) -> Table | None:
    """A table with a row per cell and measured metric that is not built in."""
    frame, rows = report_data.ok, []
    shown = {*BUILT_IN, *frame["primary"]}
    known = [m for m in report_data.metrics.of_trials() if m.name not in shown and m.name in frame]
    for labels, cell in groups(frame, CELL):
        for metric in known:
            found = _spread(cell, metric)
            if found.n:
                rows.append([*labels, metric.heading, number(metric, found), found.n])
    header = [_setting(report_data), "topology", "backend", "metric", "value", "n"]
    return table(header, rows, left=4)


def connections_table(report_data: ReportData) -> Table | None:
    """Connections before and after training, and their share of the dense network's."""
    rows = []
    for (setting, topology), part in groups(report_data.ok, CELL[:2]):
        dense = part["dense_connections"]
        start, end = part["initial_connections"], part["connections"]
        counts = []
        for values in (part["neurons"], start, end, dense):
            low, high = values.min(), values.max()
            same = low == high or low != low
            counts.append(Cell(count(low) if same else f"{count(low)} to {count(high)}", low))
        shares = [Spread.of(values / dense) for values in (start, end)]
        rows.append([setting, topology, *counts, *(Cell(share(one), one.mean) for one in shares)])
    header = [_setting(report_data), "topology", "neurons", "connections at the start",
              "at the end", "of a dense network", "density at the start", "at the end"]  # fmt: skip
    return table(header, rows, left=2)


def agreement_table(report_data: ReportData) -> Table | None:
    """For each setting and topology, the largest difference of the primary metric between backends
    with the same seed."""
    rows, metric = [], report_data.primary
    for (setting, topology), part in groups(report_data.ok, CELL[:2]):
        wide = part.pivot_table(index="replicate", columns="backend_label", values=metric.name)
        wide = wide[wide.notna().sum(axis="columns") > 1].dropna(axis="columns", how="all")
        if not wide.empty:
            apart = wide.max(axis="columns") - wide.min(axis="columns")
            largest = Cell(signed(metric, float(apart.max())).removeprefix("+"), apart.max())
            names = sentence_list([str(name) for name in wide.columns])
            rows.append([setting, topology, names, len(wide), largest, int(str(apart.idxmax()))])
    at = "at replicate" if report_data.frame["folds"].any() else "at seed"
    header = [_setting(report_data), "topology", "backends", "seeds", "largest difference", at]
    return table(header, rows, left=3)


def predictions_table(report_data: ReportData) -> Table | None:
    """For each backend, the medians of predicted and measured seconds per epoch, and the error."""
    rows, metric = [], BUILT_IN["epoch_seconds"]
    for backend, part in groups(report_data.ok, ["backend_label"]):
        both = part[[f"predicted_{metric.name}", metric.name]].dropna()
        both = both[both[metric.name] > 0]
        if not both.empty:
            predicted, measured = (both[name] for name in both)
            error = (predicted - measured).abs() / measured
            medians = [number(metric, one(float(x.median()))) for x in (predicted, measured)]
            errors = [Cell(f"{fixed(100 * e, 1)} %", e) for e in (error.median(), error.max())]
            rows.append([backend, *medians, *errors, len(both)])
    header = ["backend", "predicted", "measured", "median error", "largest error", "n"]
    return table(header, rows)


def failures_table(report_data: ReportData) -> Table | None:
    """All trials that ran and did not end well; trials that ended in the same way share a row."""
    bad = report_data.frame[report_data.frame["status"].isin(BAD)]
    alike: dict[tuple[str, ...], list[str]] = {}
    for (_, row), record in zip(bad.iterrows(), report_data.records_of(bad)):
        lines = [line for line in record.log_tail.splitlines() if line.strip()]
        last = lines[-1] if lines else record.detail
        last = last if len(last) <= 120 else last[:119] + "…"
        words = [str(row[name]) for name in (*CELL, "ended", "cause")]
        key = (*words, "yes" if row["expected"] else "no", last)
        fold = f" (fold {record.trial.fold})" if record.trial.fold else ""
        alike.setdefault(key, []).append(f"{row['seed']}{fold}")
    rows = [[*key, Cell([Code(last)]), ", ".join(seeds)] for (*key, last), seeds in alike.items()]
    header = [_setting(report_data), "topology", "backend", "status", "cause", "expected",
              "last log line", "seeds"]  # fmt: skip
    return table(header, rows, left=8)


def not_run_table(report_data: ReportData) -> Table | None:
    """The skipped and unsupported trials by reason; the reason says what is needed to run them."""
    out = report_data.frame[report_data.frame["status"].isin(NOT_RUN)]
    records = report_data.records_of(out)
    reasons = [str(r.trial.data.get("missing") or r.detail or r.cause) for r in records]
    backends = out["backend_label"].where(out["status"] != Status.SKIPPED, "all")
    parts = groups(
        out.assign(backend=backends, reason=reasons), ["status", "dataset", "backend", "reason"]
    )
    rows = [[*labels, Cell([Code(reason)]), len(part)] for (*labels, reason), part in parts]
    return table(["status", "data set", "backend", "reason", "trials"], rows, left=4)


def settings_table(report_data: ReportData) -> Table | None:
    """The keys that have the same value in all trials, with that value; then the parameters of
    each component."""
    trials = trials_of(report_data)
    found = common_settings(trials) | component_settings(trials)
    return table(["key", "value"], [[printable(k), printable(v)] for k, v in found.items()], left=2)


def data_table(report_data: ReportData) -> Table | None:
    """The numbers of samples that the networks were trained on and tested with, by data set."""
    ok = report_data.ok
    known = ok[ok[["train_samples", "test_samples"]].notna().any(axis="columns")]
    rows = [
        [name, _counts(part["train_samples"]), _counts(part["test_samples"])]
        for name, part in groups(known, ["dataset"])
    ]
    return table(["data set", "training samples", "test samples"], rows)


def _counts(values: pd.Series) -> Cell:
    """A cell with a count, or with the smallest and the largest if trials differ."""
    known = sorted(values.dropna().unique())
    if not known:
        return Cell(UNKNOWN)
    return Cell(" to ".join(dict.fromkeys((count(known[0]), count(known[-1])))), float(known[-1]))


def audit_table(report_data: ReportData) -> Table | None:
    """A row per backend and verdict of the honesty audit, with the largest growths of its probes
    and the bytes of its trials."""
    audits = [record.audit for record in report_data.records_of(report_data.frame)]
    frame = report_data.frame.assign(
        claims=[str(audit.get("claims", NO_CLAIM)) for audit in audits],
        verdict=[str(audit.get("verdict", "")) for audit in audits],
    )
    frame = frame.loc[[i for i, audit in zip(frame.index, audits) if audit]]
    rows = []
    for labels, part in groups(frame, ["backend_label", "claims", "verdict"]):
        backend, claims, verdict = labels
        found = [record.audit for record in report_data.records_of(part)]
        shown = "simulated sparsity" if verdict == SIMULATED else verdict
        if claims == verdict == SIMULATED:
            shown += " (declared)"
        flags = list(dict.fromkeys(flag for audit in found for flag in audit.get("flags", ())))
        growths = [
            _factor((audit.get("probe") or {}).get(key) for audit in found)
            for key in ("size_growth", "time_growth", "memory_growth")
        ]
        ratios = sorted(
            audit["net_peak_bytes"] / audit["declared_bytes"]
            for audit in found
            if audit.get("net_peak_bytes") and audit.get("declared_bytes")
        )
        peaks = Cell(UNKNOWN)
        if ratios:
            median = _factor([statistics.median(ratios)])
            peaks = Cell(f"{median.text} ({_factor(ratios).text})", median.key)
        reasons = list(dict.fromkeys(str(audit.get("why", "")) for audit in found))
        more = f" (the first of {len(reasons)} reasons)" if len(reasons) > 1 else ""
        rows.append(
            [backend, claims, Cell([Bold(shown) if verdict == CONTRADICTED else shown]),
             sentence_list([str(flag) for flag in flags]) or "none", *growths, peaks, len(found),
             reasons[0] + more]
        )  # fmt: skip
    header = ["backend", "claims", "found", "flags", "growth of K x D", "of time", "of memory",
              "peak over declared", "trials", "why"]  # fmt: skip
    return table(header, rows, left=4)


def _factor(values: Iterable[float | None]) -> Cell:
    """A cell with the largest of these factors, with one decimal below 10."""
    most = max((float(one) for one in values if one is not None), default=math.nan)
    if not math.isfinite(most):
        return Cell(UNKNOWN)
    return Cell(fixed(most, 0 if most >= 10 else 1), most)


def _setting(report_data: ReportData) -> str:
    """The heading of the column of settings."""
    return report_data.varied[0] if len(report_data.varied) == 1 else "setting"
