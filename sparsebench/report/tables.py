"""The tables of a report, one per question, as GitHub-flavoured markdown."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import pandas as pd

from sparsebench.analysis.evidence import CELL, FAILED, Evidence
from sparsebench.analysis.formats import (
    UNKNOWN,
    Spread,
    code,
    count,
    escape,
    in_unit,
    sentence_list,
    share,
    table,
)
from sparsebench.analysis.groups import groups, outcome
from sparsebench.analysis.marks import noisy
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.metrics import BUILT_IN

PER_CONNECTION = Metric(
    "bytes_per_connection", "bytes", "exact", -1, title="stored per connection", whole=False
)

NOT_RUN = (str(Status.SKIPPED), str(Status.UNSUPPORTED))


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
            shown = [_cell(cell, metric, best) for cell in cells]
            rows.append([*_setting(evidence, setting), escape(topology), *shown])
    header = [*_setting_header(evidence), "topology", *map(escape, backends)]
    return table(header, rows, left=len(header) - len(backends))


def time_table(evidence: Evidence) -> str:
    """Seconds per epoch and in all, and training samples per second."""
    names = ("epoch_seconds", "topology_seconds", "data_seconds", "warmup_seconds", "wall_seconds",
             "samples_per_second")  # fmt: skip
    return _by_cell(evidence, [evidence.metrics[name] for name in names], noisy)


def memory_table(evidence: Evidence) -> str:
    """Net peak, what the network stores, and both by connection."""
    names = ("net_peak_bytes", "peak_rss_bytes", "stored_bytes")
    return _by_cell(evidence, [*(evidence.metrics[name] for name in names), PER_CONNECTION])


def other_table(evidence: Evidence) -> str:
    """A row per cell and metric that is not built in, as far as anything was measured; empty if
    there is none."""
    frame = evidence.ok
    shown = {*BUILT_IN, *frame["primary"]}
    known = [metric for metric in evidence.metrics.of_trials() if metric.name not in shown]
    measured = [one for one in known if one.name in frame and frame[one.name].notna().any()]
    rows = []
    for (setting, topology, backend), cell in groups(frame, CELL) if measured else ():
        for metric in measured:
            found = Spread.of(cell[metric.name])
            if found.n:
                label = [*_setting(evidence, setting), escape(topology), escape(backend)]
                rows.append([*label, metric.heading, in_unit(metric, found), str(found.n)])
    header = [*_setting_header(evidence), "topology", "backend", "metric", "value", "n"]
    return table(header, rows, left=len(header) - 2) if rows else ""


def connections_table(evidence: Evidence) -> str:
    """Connections before and after training, and what share of the dense network they are."""
    rows = []
    for (setting, topology), part in groups(evidence.ok, CELL[:2]):
        dense = part["dense_connections"]
        start, end = part["initial_connections"], part["connections"]
        rows.append(
            [*_setting(evidence, setting), escape(topology), _range(part["neurons"]),
             _range(start), _range(end), _range(dense), share(Spread.of(start / dense)),
             share(Spread.of(end / dense))]
        )  # fmt: skip
    header = [*_setting_header(evidence), "topology", "neurons", "connections at the start",
              "at the end", "of a dense network", "density at the start", "at the end"]  # fmt: skip
    return table(header, rows, left=len(_setting_header(evidence)) + 1)


def agreement_table(evidence: Evidence) -> str:
    """How far backends end apart with the same seed and topology; empty if never two ran it."""
    rows, metric = [], evidence.primary
    for (setting, topology), part in groups(evidence.ok, CELL[:2]):
        wide = part.pivot_table(index="seed", columns="backend_label", values=metric.name)
        wide = wide[wide.notna().sum(axis="columns") > 1].dropna(axis="columns", how="all")
        if wide.empty:
            continue
        apart = wide.max(axis="columns") - wide.min(axis="columns")
        names = sentence_list([escape(name) for name in wide.columns])
        rows.append(
            [*_setting(evidence, setting), escape(topology), names, str(len(wide)),
             _difference(metric, float(apart.max())), str(apart.idxmax())]
        )  # fmt: skip
    if not rows:
        return ""
    header = [*_setting_header(evidence), "topology", "backends", "seeds",
              f"largest difference ({'points' if metric.scale == 'points' else metric.heading})",
              "at seed"]  # fmt: skip
    return table(header, rows, left=len(header) - 3)


def _difference(metric: Metric, value: float) -> str:
    return f"{value * 100:.2f}" if metric.scale == "points" else f"{value:.3g}"


def failures_table(evidence: Evidence) -> str:
    """Every trial that ran and did not end well; empty if there is none."""
    bad = evidence.frame[evidence.frame["status"].isin([*FAILED, str(Status.INTERRUPTED)])]
    alike: dict[tuple[str, ...], list[str]] = {}
    for i, row in bad.iterrows():
        record = evidence.records[int(str(i))]
        lines = [line for line in record.log_tail.splitlines() if line.strip()]
        told = code(shorten(lines[-1] if lines else record.detail))
        words = [escape(row[name]) for name in (*CELL[1:], "status", "cause")]
        expected = "yes" if row["expected"] else "no"
        key = (*_setting(evidence, row["setting"]), *words, expected, told)
        alike.setdefault(key, []).append(str(row["seed"]))
    rows = [[*key, ", ".join(seeds)] for key, seeds in alike.items()]
    header = [*_setting_header(evidence), "topology", "backend", "status", "cause", "expected",
              "last log line", "seeds"]  # fmt: skip
    return table(header, rows, left=len(header)) if rows else ""


def not_run_table(evidence: Evidence) -> str:
    """What was skipped or is not supported, by reason: what would make it run."""
    frame = evidence.frame
    out = frame[frame["status"].isin(NOT_RUN)]
    reasons: dict[tuple[str, str, str, str], int] = {}
    for i, row in out.iterrows():
        record = evidence.records[int(str(i))]
        reason = str(record.trial.data.get("missing") or record.detail or record.cause)
        backend = str(row["backend_label"]) if row["status"] != Status.SKIPPED else ""
        key = (str(row["status"]), str(row["dataset"]), backend, reason)
        reasons[key] = reasons.get(key, 0) + 1
    rows = [
        [status, escape(dataset), escape(backend) or "all", code(reason), str(n)]
        for (status, dataset, backend, reason), n in reasons.items()
    ]
    return table(["status", "data set", "backend", "reason", "trials"], rows, 4) if rows else ""


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
            if used and len(ok) and _key(cell, used[0].name) == best:
                numbers[0] = f"**{numbers[0]}**"
            if numbers and len(ok):
                numbers[0] += mark(ok)
            ended = ", ".join(filter(None, [str(len(ok)) if len(ok) else "", outcome(cell)]))
            label = [*_setting(evidence, setting), escape(topology), escape(backend)]
            rows.append([*label, *numbers, ended])
    header = [*_setting_header(evidence), "topology", "backend"]
    return table([*header, *(one.heading for one in used), "n"], rows, left=len(header))


def _cell(cell: pd.DataFrame, metric: Metric, best: Hashable) -> str:
    """`**92.4 ± 0.3 %** (n = 3, 1 timeout)`; how it ended where there is no number."""
    if cell.empty:
        return ""
    measured = Spread.of(cell.loc[cell["ok"], metric.name])
    if measured.n == 0:
        statuses = dict.fromkeys(map(str, cell.loc[~cell["ok"], "status"]))
        return escape(", ".join(statuses)) or UNKNOWN
    number = in_unit(metric, measured)
    number = f"**{number}**" if _key(cell, metric.name) == best else number
    return f"{number} ({', '.join(filter(None, [f'n = {measured.n}', outcome(cell)]))})"


def _best(part: pd.DataFrame, name: str, choose: Callable[[list[float]], float]) -> Hashable:
    """The best mean over the cells of a part; equal means are all the best."""
    means = [_key(cell, name) for _, cell in groups(part, CELL[1:])]
    known = [mean for mean in means if mean == mean]
    return choose(known) if len(known) > 1 else None


def _key(cell: pd.DataFrame, name: str) -> float:
    return Spread.of(cell.loc[cell["ok"], name]).mean


def _setting_header(evidence: Evidence) -> list[str]:
    if not evidence.varied:
        return []
    return [escape(evidence.varied[0]) if len(evidence.varied) == 1 else "setting"]


def _setting(evidence: Evidence, setting: object) -> list[str]:
    return [escape(setting)] if evidence.varied else []


def _range(values: pd.Series[float]) -> str:
    """A count, or the least and most of several."""
    low, high = values.min(), values.max()
    return count(low) if low == high or low != low else f"{count(low)} to {count(high)}"
