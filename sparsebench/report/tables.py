"""The tables of a report, one per question, as GitHub-flavoured markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import pandas as pd

from sparsebench.analysis.evidence import BAD, CELL, NOT_RUN, Evidence, groups, outcome
from sparsebench.analysis.formats import (
    UNKNOWN,
    Spread,
    code,
    count,
    escape,
    fixed,
    in_unit,
    join,
    one,
    sentence_list,
    share,
    signed,
    table,
    table_of,
)
from sparsebench.analysis.marks import noisy
from sparsebench.analysis.statistics import interquartile
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.metrics import BUILT_IN
from sparsebench.store.record import CONTRADICTED, SIMULATED
from sparsebench.store.record import UNKNOWN as NO_CLAIM

PER_CONNECTION = Metric(
    "bytes_per_connection", "bytes", "exact", -1, title="stored per connection", whole=False
)


def result_table(evidence: Evidence) -> str:
    """Mean of the primary metric after the last epoch: topology by backend, the best of each
    setting in bold."""
    frame, metric = evidence.frame, evidence.primary
    backends = list(dict.fromkeys(frame["backend_label"]))
    rows = []
    for setting, part in groups(frame, ["setting"]):
        best = _best(part, metric.name, max if metric.better > 0 else min)
        for topology, sub in groups(part, ["topology_label"]):
            cells = [sub[sub["backend_label"] == backend] for backend in backends]
            shown = [_result(cell, metric, best) for cell in cells]
            rows.append([escape(setting), escape(topology), *shown])
    return table_of([_setting(evidence), "topology", *map(escape, backends)], rows, left=2)


def time_table(evidence: Evidence) -> str:
    """Seconds per epoch and in all, and training samples per second."""
    names = ("epoch_seconds", "topology_seconds", "data_seconds", "warmup_seconds", "wall_seconds",
             "samples_per_second")  # fmt: skip
    return _by_cell(evidence, [evidence.metrics[name] for name in names], noisy)


def memory_table(evidence: Evidence) -> str:
    """Net peak, bytes that the network stores, and these by connection."""
    names = ("net_peak_bytes", "peak_rss_bytes", "stored_bytes")
    return _by_cell(evidence, [*(evidence.metrics[name] for name in names), PER_CONNECTION])


def interquartile_table(evidence: Evidence) -> str:
    """Interquartile means of the primary metric, of cells with eight seeds."""
    metric, rows = evidence.primary, []
    for labels, cell in groups(evidence.ok, CELL):
        found = interquartile(cell[metric.name].dropna().tolist())
        if found is not None:
            mean, low, high = (in_unit(metric, one(x)) for x in (found.mean, found.low, found.high))
            rows.append([*map(escape, labels), mean, f"{low} to {high}", str(found.n)])
    header = [_setting(evidence), "topology", "backend",
              f"interquartile mean of the {metric.heading.removeprefix('test ')}",
              "95 % interval", "n"]  # fmt: skip
    return table_of(header, rows, left=3)


def other_table(evidence: Evidence) -> str:
    """A row per cell and measured metric that is not built in."""
    frame, rows = evidence.ok, []
    shown = {*BUILT_IN, *frame["primary"]}
    known = [m for m in evidence.metrics.of_trials() if m.name not in shown and m.name in frame]
    for labels, cell in groups(frame, CELL):
        for metric in known:
            found = Spread.of(cell[metric.name])
            if found.n:
                number = in_unit(metric, found)
                rows.append([*map(escape, labels), escape(metric.heading), number, str(found.n)])
    header = [_setting(evidence), "topology", "backend", "metric", "value", "n"]
    return table_of(header, rows, left=4)


def connections_table(evidence: Evidence) -> str:
    """Connections before and after training, and their share of the dense network's."""
    rows = []
    for (setting, topology), part in groups(evidence.ok, CELL[:2]):
        dense = part["dense_connections"]
        start, end = part["initial_connections"], part["connections"]
        rows.append(
            [escape(setting), escape(topology), _range(part["neurons"]), _range(start), _range(end),
             _range(dense), share(Spread.of(start / dense)), share(Spread.of(end / dense))]
        )  # fmt: skip
    header = [_setting(evidence), "topology", "neurons", "connections at the start",
              "at the end", "of a dense network", "density at the start", "at the end"]  # fmt: skip
    return table_of(header, rows, left=2)


def agreement_table(evidence: Evidence) -> str:
    """How far backends end apart with the same seed and topology."""
    rows, metric = [], evidence.primary
    for (setting, topology), part in groups(evidence.ok, CELL[:2]):
        wide = part.pivot_table(index="seed", columns="backend_label", values=metric.name)
        wide = wide[wide.notna().sum(axis="columns") > 1].dropna(axis="columns", how="all")
        if not wide.empty:
            apart = wide.max(axis="columns") - wide.min(axis="columns")
            names = sentence_list([escape(name) for name in wide.columns])
            largest = signed(metric, float(apart.max())).removeprefix("+")
            rows.append([escape(setting), escape(topology), names, str(len(wide)), largest,
                         str(apart.idxmax())])  # fmt: skip
    header = [_setting(evidence), "topology", "backends", "seeds", "largest difference", "at seed"]
    return table_of(header, rows, left=3)


def predictions_table(evidence: Evidence) -> str:
    """Per backend the medians of predicted and measured seconds per epoch, and the error."""
    rows, metric = [], BUILT_IN["epoch_seconds"]
    for backend, part in groups(evidence.ok, ["backend_label"]):
        both = part[[f"predicted_{metric.name}", metric.name]].dropna()
        both = both[both[metric.name] > 0]
        if not both.empty:
            predicted, measured = (both[name] for name in both)
            error = (predicted - measured).abs() / measured
            medians = [in_unit(metric, one(float(x.median()))) for x in (predicted, measured)]
            errors = [f"{fixed(100 * float(e), 1)} %" for e in (error.median(), error.max())]
            rows.append([escape(backend), *medians, *errors, str(len(both))])
    header = ["backend", "predicted", "measured", "median error", "largest error", "n"]
    return table(header, rows, left=1) if rows else ""


def failures_table(evidence: Evidence) -> str:
    """Every trial that ran and did not end well; those that ended alike in one row."""
    bad = evidence.frame[evidence.frame["status"].isin(BAD)]
    alike: dict[tuple[str, ...], list[str]] = {}
    for (_, row), record in zip(bad.iterrows(), evidence.records_of(bad)):
        lines = [line for line in record.log_tail.splitlines() if line.strip()]
        last = lines[-1] if lines else record.detail
        words = [escape(row[name]) for name in (*CELL, "status", "cause")]
        key = (*words, "yes" if row["expected"] else "no", code(shorten(last)))
        alike.setdefault(key, []).append(str(row["seed"]))
    header = [_setting(evidence), "topology", "backend", "status", "cause", "expected",
              "last log line", "seeds"]  # fmt: skip
    return table_of(header, [[*key, ", ".join(seeds)] for key, seeds in alike.items()], left=8)


def not_run_table(evidence: Evidence) -> str:
    """The skipped and unsupported trials by reason, which says what would make them run."""
    out = evidence.frame[evidence.frame["status"].isin(NOT_RUN)]
    records = evidence.records_of(out)
    reasons = [str(r.trial.data.get("missing") or r.detail or r.cause) for r in records]
    backends = out["backend_label"].where(out["status"] != Status.SKIPPED, "all")
    keys = ["status", "dataset", "backend", "reason"]
    parts = groups(out.assign(backend=backends, reason=reasons), keys)
    rows = [
        [status, escape(dataset), escape(backend), code(reason), str(len(part))]
        for (status, dataset, backend, reason), part in parts
    ]
    return table(["status", "data set", "backend", "reason", "trials"], rows, 4) if rows else ""


def audit_table(evidence: Evidence) -> str:
    """A row per backend and finding of the honesty audit."""
    frame = evidence.frame
    audits = [record.audit for record in evidence.records_of(frame)]
    frame = frame.assign(
        claims=[str(audit.get("claims", NO_CLAIM)) for audit in audits],
        verdict=[str(audit.get("verdict", "")) for audit in audits],
    )
    rows = []
    for (backend, claims, verdict), part in groups(
        frame.loc[[i for i, audit in zip(frame.index, audits) if audit]],
        ["backend_label", "claims", "verdict"],
    ):
        found = [record.audit for record in evidence.records_of(part)]
        shown = "simulated sparsity" if verdict == SIMULATED else verdict
        if claims == verdict == SIMULATED:
            shown += " (declared)"
        flags = list(dict.fromkeys(flag for audit in found for flag in audit.get("flags", ())))
        growths = []
        for key in ("size_growth", "time_growth", "memory_growth"):
            known = [(audit.get("probe") or {}).get(key) for audit in found]
            growths.append(_factor([float(one) for one in known if one is not None]))
        ratios = sorted(
            audit["net_peak_bytes"] / audit["declared_bytes"]
            for audit in found
            if audit.get("net_peak_bytes") and audit.get("declared_bytes")
        )
        peaks = UNKNOWN
        if ratios:
            peaks = f"{_factor(ratios[(len(ratios) - 1) // 2 :][:1])} ({_factor(ratios)})"
        rows.append(
            [escape(backend), escape(claims),
             f"**{escape(shown)}**" if verdict == CONTRADICTED else escape(shown),
             escape(sentence_list(flags)) or "none", *growths, peaks, str(len(found)),
             escape(found[0].get("why", ""))]
        )  # fmt: skip
    header = ["backend", "claims", "found", "flags", "growth of K x D", "of time", "of memory",
              "peak over declared", "trials", "why"]  # fmt: skip
    return table(header, rows, left=4) if rows else ""


def _factor(values: Sequence[float]) -> str:
    """The largest, with a decimal below 10."""
    if not values or not math.isfinite(max(values)):
        return UNKNOWN
    return fixed(max(values), 0 if max(values) >= 10 else 1)


def shorten(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _by_cell(
    evidence: Evidence,
    metrics: Sequence[Metric],
    mark: Callable[[pd.DataFrame], str] = lambda cell: "",
) -> str:
    """A row per cell, the lowest of each setting's first metric in bold; `mark` behind the first
    number of a row."""
    frame = evidence.frame[~evidence.frame["status"].isin(NOT_RUN)]
    frame = frame.assign(**{PER_CONNECTION.name: frame["stored_bytes"] / frame["connections"]})
    used = [metric for metric in metrics if frame[metric.name].notna().any()]
    rows = []
    for setting, part in groups(frame, ["setting"]):
        best = _best(part, used[0].name, min) if used else UNKNOWN
        for (topology, backend), cell in groups(part, CELL[1:]):
            ok = cell[cell["ok"]]
            numbers = [in_unit(metric, Spread.of(ok[metric.name])) for metric in used]
            if numbers and len(ok):
                bold = _key(cell, used[0].name) == best
                numbers[0] = (f"**{numbers[0]}**" if bold else numbers[0]) + mark(ok)
            ended = join(len(ok) or "", outcome(cell))
            rows.append([escape(setting), escape(topology), escape(backend), *numbers, ended])
    header = [_setting(evidence), "topology", "backend"]
    return table_of([*header, *(one.heading for one in used), "n"], rows, left=3)


def _result(cell: pd.DataFrame, metric: Metric, best: Hashable) -> str:
    """`**92.4 ± 0.3 %** (n = 3, 1 timeout)`; how it ended where there is no number."""
    if cell.empty:
        return ""
    measured = Spread.of(cell.loc[cell["ok"], metric.name])
    if measured.n == 0:
        statuses = dict.fromkeys(map(str, cell.loc[~cell["ok"], "status"]))
        return escape(", ".join(statuses)) or UNKNOWN
    number = in_unit(metric, measured)
    number = f"**{number}**" if _key(cell, metric.name) == best else number
    return f"{number} ({join(f'n = {measured.n}', outcome(cell))})"


def _best(part: pd.DataFrame, name: str, choose: Callable[[list[float]], float]) -> Hashable:
    """The best mean over the cells of a part; None for a single one. Equal means are all best."""
    means = [_key(cell, name) for _, cell in groups(part, CELL[1:])]
    known = [mean for mean in means if mean == mean]
    return choose(known) if len(known) > 1 else None


def _key(cell: pd.DataFrame, name: str) -> float:
    return Spread.of(cell.loc[cell["ok"], name]).mean


def _setting(evidence: Evidence) -> str:
    """The head of the column of settings."""
    return escape(evidence.varied[0]) if len(evidence.varied) == 1 else "setting"


def _range(values: pd.Series[float]) -> str:
    """A count, or the least and most of several."""
    low, high = values.min(), values.max()
    return count(low) if low == high or low != low else f"{count(low)} to {count(high)}"
