"""The chart of the primary metric by epoch, or by seconds of training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import pandas as pd

from sparsebench.analysis.number_format import (
    in_unit,
    join,
    one,
    result_words,
    seconds,
    upper_first,
)
from sparsebench.analysis.report_data import ReportData, groups
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.metrics import BUILT_IN
from sparsebench.report.chart_encoding import distinctions
from sparsebench.report.chart_style import (
    drawn_once,
    large,
    left_out,
    names_of,
    result_axis,
    slug,
    without_duplicates,
)
from sparsebench.report.document import MOST_PANELS, Axis, Chart, Panel, Series
from sparsebench.store.export_columns import epoch_value

LEAST_EPOCHS = 3
"""A curve needs at least this many epochs."""

MOST_LINES = 12
"""The most lines in a panel: the eye cannot distinguish more."""

MOST_OBSERVED = 8
"""The most charts of observers' metrics."""

MOST_POINTS = 200
"""The most points of a curve; longer curves are thinned evenly and keep the last epoch."""

FEW_POINTS = 12
"""The points of a curve are marked if there are at most this many; else they show under a
pointer."""

TRAINING_PHASES = ("data", "train", "topology")
"""The phases of an epoch that count as training, without evaluation."""


def curves(
    report_data: ReportData, *, color: str = "", spent: bool = False, observed: Metric | None = None
) -> Chart | None:
    """The mean of the primary metric against the epoch, with its spread over seeds as a band, and a
    panel per data set and size. None if no trial has three epochs, or if a panel would have too
    many lines or lines that look alike.

    spent     plot against seconds of training instead of epochs
    observed  plot this metric of epochs instead of the primary one
    """
    judged = report_data.of_primary if observed is None else report_data
    metric = observed or judged.primary
    found = _by_epoch(judged, metric.name)
    if found.empty or found["epoch"].nunique() < LEAST_EPOCHS:
        return None
    distinct = distinctions(judged, color=color)
    distinct["cell"] = judged.frame["cell"]
    found = found.join(distinct, on="trial")
    if found["panel"].nunique() > 1 and (found.groupby("panel")["cell"].nunique() == 1).all():
        found["tone"] = found["shape"] = found["panel"]  # panels of one line are one panel
        found["panel"] = ""
    if (found.groupby(["panel", "tone", "shape"])["cell"].nunique() > 1).any():
        return None  # lines that look alike
    panels, parts = [], list(groups(found, ["panel"]))
    stand_for: dict[str, list[str]] = {}
    for title, part in parts[:MOST_PANELS]:
        lines = [
            _curve(str(tone), str(shape), cell, metric, spent=spent)
            for (tone, shape, _), cell in groups(part, ["tone", "shape", "cell"])
        ]
        drawn = without_duplicates(
            [s for s in lines if len(s.x) >= LEAST_EPOCHS], metric, stand_for
        )
        x = Axis("seconds of training", "seconds") if spent else Axis("epoch", whole=True)
        if drawn:
            panels.append(Panel(str(title), x, result_axis(metric), drawn, 300))
    if not panels or any(len(panel.series) > MOST_LINES for panel in panels):
        return None
    by = "seconds of training" if spent else "epoch"
    name = "learning-curves" if observed is None else slug(f"observed-{metric.name}")
    return Chart(
        slug(f"curves-{by}") if spent else name,
        f"{upper_first(metric.heading)} by {by}",
        "Line: mean over seeds; band: one standard deviation.", large(panels),
        *names_of(found, panels),
        [*left_out(len(parts)), *drawn_once(stand_for), *_after_update(judged)],
    )  # fmt: skip


def _after_update(report_data: ReportData) -> list[str]:
    """A note if epochs end with an update of the topology."""
    seconds = report_data.ok.get("topology_seconds")
    if seconds is None or not (seconds > 0).any():
        return []
    return [
        "A topology update at the end of an epoch comes before the evaluation, so that connections "
        "just grown are in it; the last epoch has none, and its values may be better for that."
    ]


def observed(report_data: ReportData) -> Iterator[Chart]:
    """Yield the curves of epoch metrics from observers and plugins, at most `MOST_OBSERVED`."""
    known = [
        metric
        for metric in report_data.metrics.of_trials()
        if metric.name not in {*BUILT_IN, *report_data.frame["primary"]} and "epoch" in metric.kinds
        and metric.title and metric.name in report_data.frame
    ]  # fmt: skip
    made = (curves(report_data, observed=metric) for metric in known)
    yield from islice((chart for chart in made if chart is not None), MOST_OBSERVED)


def _by_epoch(report_data: ReportData, name: str) -> pd.DataFrame:
    """A row for each epoch that has this metric: the trial's row, the epoch, the seconds of
    training until its end, and the metric as `value`."""
    rows = []
    for i in report_data.frame.index:
        at, spent = int(str(i)), 0.0
        for epoch in report_data.runs[at].epochs(report_data.records[at]):
            spent += sum(float(epoch.get(f"{phase}_seconds") or 0) for phase in TRAINING_PHASES)
            if (value := epoch_value(epoch, name)) is not None:
                rows.append([i, int(epoch["epoch"]), spent, value])
    frame = pd.DataFrame(rows, columns=["trial", "epoch", "seconds", "value"])
    return frame[frame["value"].abs() < math.inf]


def _curve(tone: str, shape: str, part: pd.DataFrame, metric: Metric, *, spent: bool) -> Series:
    by_epoch = [
        (float(at["seconds"].mean()) if spent else int(str(epoch)), Spread.of(at["value"]), epoch)
        for epoch, at in part.groupby("epoch")
    ]
    step = math.ceil(len(by_epoch) / MOST_POINTS)
    kept = by_epoch[:-1:step] + by_epoch[-1:]
    sd = [0.0 if math.isnan(s.sd) else s.sd for _, s, _ in kept]
    spread = any(s.n > 1 for _, s, _ in kept)
    label = join(*dict.fromkeys((tone, shape)))
    words = {"line": [label] * len(kept)} if label else {}
    if spent:
        words["seconds of training"] = [seconds(one(x)) for x, _, _ in kept]
    return Series(
        [x for x, _, _ in kept], [s.mean for _, s, _ in kept], tone, shape, "line",
        sizes=[6.0] * len(kept), faint=len(kept) > FEW_POINTS, band=True,
        low=[s.mean - d for (_, s, _), d in zip(kept, sd)] if spread else (),
        high=[s.mean + d for (_, s, _), d in zip(kept, sd)] if spread else (),
        hover={
            **words, "epoch": [str(epoch) for _, _, epoch in kept],
            result_words(metric)[0].lower(): [in_unit(metric, s) for _, s, _ in kept],
            "seeds": [str(s.n) for _, s, _ in kept],
        },
    )  # fmt: skip
