"""A table of chosen rows, columns and metrics, for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from sparsebench.analysis.best import best_cells
from sparsebench.analysis.number_format import (
    UNKNOWN,
    join,
    plural,
    sentence_list,
    upper_first,
)
from sparsebench.analysis.report_data import ReportData, groups, trials_of
from sparsebench.analysis.statistics import Spread
from sparsebench.analysis.trial_settings import with_keys_removed
from sparsebench.core.metric import Metric
from sparsebench.errors import SparsebenchError, nearest
from sparsebench.report.chart_encoding import key_labels, parameter_keys
from sparsebench.report.chart_style import heading_of
from sparsebench.report.document import Cell, Table, number
from sparsebench.report.line_chart import known_key


def pivot(
    report_data: ReportData,
    rows: Sequence[str],
    columns: Sequence[str],
    metrics: Sequence[str] = (),
) -> Table:
    """A table of means over seeds, with a row per value of `rows` and a column per value of
    `columns` and metric. The best value of each row is bold.

    rows, columns  parts of a trial ("topology") or dotted keys ("topology.epsilon")
    metrics        by default the primary one

    Raises SparsebenchError if trials in one place of the table differ in more than seed and fold.
    """
    ok = replace(report_data, frame=report_data.ok)
    down, across = ([known_key(ok, key) for key in keys] for keys in (rows, columns))
    shown = [_metric(ok, name) for name in metrics or (ok.primary.name,)]
    frame = ok.frame.assign(row=_labels(ok, down, across), column=_labels(ok, across, down))
    _one_cell_each(ok, frame, [*down, *across])
    heads = list(dict.fromkeys(frame["column"]))
    several = {n for _, cell in groups(frame, ["row", "column"]) if (n := len(cell))}
    made = []
    for row, part in groups(frame, ["row"]):
        cells: list[object] = []
        places = [part[part["column"] == head] for head in heads]
        for metric in shown:
            cells += _numbers(metric, places, with_n=len(several) > 1)
        made.append([*(word or UNKNOWN for word in row), *cells])
    names = [
        join(*map(_head, across, head), metric.heading if len(shown) > 1 or not head else "")
        for metric in shown for head in heads
    ]  # fmt: skip
    header = [*map(heading_of, down), *names]
    seeds = f"over {plural(several.pop(), 'seed')}" if len(several) == 1 else "over n seeds"
    what = upper_first(sentence_list([metric.heading for metric in shown]))
    bold = " Bold: the best of its row, and what is not shown to be worse."
    caption = f"{what}: mean ± standard deviation {seeds}.{bold if len(heads) > 1 else ''}"
    return Table(header, made, left=len(down)).in_paper("pivot", caption)


def _head(key: str, word: str) -> str:
    """The heading of a column: the name of a component, or a parameter with its value."""
    if "." not in key:
        return word or f"no {key}"
    return f"{heading_of(key)} {word}" if word else f"no {heading_of(key)}"


def _metric(report_data: ReportData, name: str) -> Metric:
    known = [m.name for m in report_data.metrics.of_trials() if m.name in report_data.frame]
    if name not in known:
        raise SparsebenchError(f"no metric {name!r}.{nearest(name, known)}")
    return report_data.metrics[name]


def _labels(report_data: ReportData, keys: Sequence[str], others: Sequence[str]) -> pd.Series:
    """For each row of the report data, its values of these keys in words; a value's words leave out
    what the other keys show."""
    trials, named = trials_of(report_data), {}
    for key in keys:
        out = [other for other in (*keys, *others) if other != key and "." in other]
        reduced = [with_keys_removed(trial, *out, *report_data.folded) for trial in trials]
        named[key] = key_labels(report_data, reduced, key, bare=True)
    labels = list(zip(*named.values())) if keys else [()] * len(trials)
    return pd.Series(labels, report_data.frame.index, dtype=object)


def _one_cell_each(report_data: ReportData, frame: pd.DataFrame, keys: Sequence[str]) -> None:
    for _, part in groups(frame, ["row", "column"]):
        if part["cell"].nunique() > 1:
            differ = parameter_keys(replace(report_data, frame=part))
            left = [key for key in differ if not any(key.startswith(f"{k}.") for k in differ)]
            raise SparsebenchError(
                f"trials of one place of the table differ in {sentence_list(left)}: choose it as "
                f"--rows or --columns too, beside {sentence_list(keys)}"
            )


def _numbers(metric: Metric, places: Sequence[pd.DataFrame], *, with_n: bool) -> list[Cell]:
    """The cells of a row for one metric, with the number of seeds if `with_n`."""
    by_seed = [
        {int(seed): float(x) for seed, x in zip(one["replicate"], one[metric.name]) if x == x}
        for one in places
    ]
    best = best_cells(by_seed, metric.better) if metric.better else ()
    found = [Spread.of(one[metric.name]) for one in places]
    return [
        number(metric, one, bold=at in best, tail=f" (n = {one.n})" if with_n and one.n else "")
        for at, one in enumerate(found)
    ]
