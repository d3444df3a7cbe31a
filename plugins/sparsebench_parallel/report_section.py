"""The report's section on training by several processes, compared with training by one process.

A family is the set of trials that differ only in trainer, threads and seed. A way of training is
one trainer, with its parameters, and one number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from sparsebench.analysis.chance import above_chance
from sparsebench.analysis.number_format import (
    UNKNOWN,
    fixed,
    in_unit,
    join,
    one,
    plural,
    ratio,
    result_words,
    seconds,
)
from sparsebench.analysis.report_data import (
    ReportData,
    families,
    groups,
    setting_labels,
    trials_of,
)
from sparsebench.analysis.statistics import Spread, from_zero
from sparsebench.core.metric import EPOCH_PARTS, Metric
from sparsebench.metrics import BUILT_IN
from sparsebench.report.chart_encoding import short_switches
from sparsebench.report.chart_style import left_out
from sparsebench.report.document import (
    MOST_PANELS,
    Axis,
    Block,
    Bullets,
    Cell,
    Chart,
    Code,
    Panel,
    Series,
    Table,
    number,
    table,
)
from sparsebench.report.learning_curves import curves
from sparsebench.report.line_chart import line
from sparsebench.store.export_columns import epoch_value
from sparsebench.suite.labels import distinct_label

SEQUENTIAL = "sequential"
VARIED = ("trainer", "threads")
"""Keys in which the trials of one family differ. `threads` is one of them, because two threads of
one process are an alternative to two workers."""

SAID = ("seed", "backend")
"""Keys that are left out of a family's label, because other columns of the table show them."""

NOTE = [
    "Each row is held against ", Code("sequential"),
    " with one thread, or with the fewest there are: the difference over the same seeds with its "
    "95 % t-interval (of a share in points), and how many times as fast an epoch is. At equal "
    "time: the metric after the last epoch that was evaluated within the training time of the "
    "quickest row of its kind. Sent: bytes of all processes in a step. Staleness: updates of the "
    "master between the weights that a gradient was computed from and its use, mean and most. Net "
    "peak is the sum over the processes of a trial.",
]  # fmt: skip
NOTE_STEPS = (
    "A step of one process is one compiled call, and those of several processes go layer by layer, "
    "because their gradients are sent: a part of each ratio of times is that difference. One "
    "worker beside sequential shows it, together with the cost of messages."
)


@dataclass(frozen=True, eq=False)
class TrainerVariant:
    """The trials of one family that are trained in one way; they differ only in the seed.

    workers  number of workers; 0 for one process that trains alone
    frame    rows of the report data, with the columns `seconds` (of training, without evaluation)
             and `at_equal_time`
    """

    label: str
    workers: int
    frame: pd.DataFrame

    def by_seed(self, name: str) -> pd.Series:
        return self.frame.set_index("seed")[name].dropna()

    def spread(self, name: str) -> Spread:
        return Spread.of(self.frame[name])


@dataclass(frozen=True)
class Family:
    """Trials that differ only in trainer, threads and seed.

    baseline  the sequential trials with the fewest threads; None if there are none
    metric    the primary metric
    """

    setting: str
    backend: str
    baseline: TrainerVariant | None
    ways: list[TrainerVariant]
    metric: Metric


def section(report_data: ReportData) -> Iterator[Block]:
    """The section: sentences, charts, a table, a note; empty if no trainer has workers."""
    found = parallel_families(report_data.trained)
    if not found:
        return
    if sentences := [sentence for sentence in map(in_words, found) if sentence]:
        yield Bullets(sentences)
    yield from filter(
        None, (by_workers(report_data.trained), speeds(found), over_time(report_data.trained))
    )
    if made := parallel_table(found):
        yield made
    yield NOTE
    steps = [set(way.frame["step"]) for family in found for way in family.ways if way.workers]
    if {"compiled"} in [set(one.baseline.frame["step"]) for one in found if one.baseline] and any(
        "layers" in one for one in steps
    ):
        yield NOTE_STEPS


def by_workers(report_data: ReportData) -> Chart | None:
    """A chart of the primary metric against time per epoch: a color per trainer, with a mark for
    each number of workers. None if nothing can be drawn, as where no network beats chance."""
    judged = above_chance(report_data.of_primary)
    made = line(judged, "epoch_seconds", color="trainer", by="trainer.workers")
    if made is None:
        return None
    heading, best = result_words(report_data.primary)
    return replace(
        made, name="parallel",
        title=f"{heading} against time per epoch, by workers",
        caption=f"{'Up' if best == 'highest' else 'Down'} and to the left is better. A mark is the "
        "mean over seeds, its bar one standard deviation; the number beside it is that of the "
        "workers. Without a number: one process.",
        panels=[
            replace(panel, series=[replace(series, joined="") for series in panel.series])
            for panel in made.panels
        ],
    )  # fmt: skip


def speeds(found: Sequence[Family]) -> Chart | None:
    """A chart of how many times as fast as with one process an epoch is, by number of workers: a
    panel per family. None if no trainer was measured with two numbers of workers."""
    panels: list[Panel] = []
    names: dict[str, None] = {}
    kinds = {repr(kind): kind for family in found for way in family.ways if (kind := _kind(way))}
    for family in found:
        lines: dict[str, list[tuple[int, float]]] = {}
        for way in family.ways:
            if way.workers and family.baseline is not None:
                name = short_switches(distinct_label(_kind(way), [*kinds.values()]))
                lines.setdefault(name, []).append((way.workers, _speed(way, family.baseline)))
        series = [
            Series(
                [workers for workers, _ in sorted(points)], [speed for _, speed in sorted(points)],
                name, name, "line" if len(points) > 1 else "", sizes=[9.0] * len(points),
                hover={"trainer": [name] * len(points),
                       "workers": [str(workers) for workers, _ in sorted(points)],
                       "times as fast": [ratio(speed) for _, speed in sorted(points)]},
            )
            for name, points in lines.items()
        ]  # fmt: skip
        names |= dict.fromkeys(lines)
        if series:
            title = join(family.setting, family.backend if _several(found) else "")
            axes = Axis("workers", whole=True), Axis("times as fast as one process")
            panels.append(Panel(title, *axes, series, 280, rule=1.0))
    if not any(len(one.x) > 1 for panel in panels for one in panel.series):
        return None
    return Chart(
        "parallel-speed", "Times as fast as one process, by workers",
        "Time per epoch of one process with one thread, or with the fewest there are, over that of "
        "so many workers. Dotted: as fast as one process.",
        panels[:MOST_PANELS], list(names), list(names), left_out(len(panels)),
    )  # fmt: skip


def over_time(report_data: ReportData) -> Chart | None:
    """A chart of the primary metric by seconds of training, for one process and for the number of
    workers that most trials have. None if no trial has more than one worker."""
    frame = report_data.ok
    team = frame[frame["trainer"] != SEQUENTIAL]
    several = team[team["workers"] > 1]["workers"]
    if several.empty:
        return None
    workers = int(several.mode().min())
    alone = frame["trainer"].eq(SEQUENTIAL) & frame["threads"].eq(frame["threads"].min())
    part = frame[alone | (frame["workers"].eq(workers) & frame["trainer"].ne(SEQUENTIAL))]
    made = curves(replace(report_data, frame=part), color="trainer", spent=True)
    if made is None:
        return None
    caption = f"{made.caption} One process with the fewest threads, and {workers} workers."
    return replace(made, name="parallel-time", caption=caption)


def _kind(way: TrainerVariant) -> dict[str, Any]:
    """The trainer of a way of training, without the number of workers; empty for one process."""
    if not way.workers:
        return {}
    return {k: v for k, v in way.frame["trainer_parts"].iloc[0].items() if k != "workers"}


def _several(found: Sequence[Family]) -> bool:
    return len({family.backend for family in found}) > 1


def parallel_families(report_data: ReportData) -> list[Family]:
    """The families in which a trainer has workers, of trials that ended well. They also contain
    sequential trials; trials of any other trainer are left out."""
    frame = report_data.ok
    trials = trials_of(replace(report_data, frame=frame))
    several = pd.Series(["workers" in trial.trainer for trial in trials], frame.index, dtype=bool)
    if not several.any():
        return []
    frame = frame[frame["trainer"].eq(SEQUENTIAL) | several]
    part = replace(report_data, frame=frame)
    frame = frame.assign(
        family=families(part, *VARIED),
        team_setting=_settings(part),
        seconds=frame[list(EPOCH_PARTS)].fillna(0.0).sum(axis=1),
        curve=_column([_curve(part, int(str(index))) for index in frame.index], frame),
        trainer_parts=_column([trial.trainer for trial in trials_of(part)], frame),
    )
    keys = ["family", "machine", "contended"]
    found = [
        _family(members, report_data.metrics.declaration(str(members["primary"].iloc[0])))
        for _, members in groups(frame, keys)
    ]
    return [one for one in found if one is not None]


def parallel_table(found: Sequence[Family]) -> Table | None:
    """A row per way of training, family by family."""
    rows = []
    for family in found:
        metric = family.metric
        for way in family.ways:
            rows.append(
                [family.setting, family.backend, way.label, way.workers or 1, len(way.frame),
                 number(metric, way.spread(metric.name)), _apart(way, family.baseline, metric),
                 number(metric, way.spread("at_equal_time")),
                 number(BUILT_IN["epoch_seconds"], way.spread("epoch_seconds")),
                 _faster(way, family.baseline),
                 number(BUILT_IN["net_peak_bytes"], way.spread("net_peak_bytes")), _sent(way),
                 _staleness(way)]
            )  # fmt: skip
    several = len({family.metric for family in found}) > 1
    metric = Metric("result") if several else found[0].metric
    points = " (points)" if metric.scale == "points" else ""
    header = ["setting", "backend", "trainer", "workers", "n", metric.heading,
              f"against sequential{points}", "at equal time", "epoch", "times as fast", "net peak",
              "sent a step", "staleness"]  # fmt: skip
    return table(header, rows, left=3)


def in_words(family: Family) -> str:
    """A sentence with the primary metric and time of one process, the shortest epoch of several
    processes beside that of one process with more threads, and the range of the differences in that
    metric; empty without a sequential trial."""
    base = family.baseline
    others = [way for way in family.ways if way.workers > 0]
    if base is None or not others:
        return ""
    fastest = min(others, key=lambda way: way.spread("epoch_seconds").mean)
    metric = family.metric
    within = f"{family.setting}: " if family.setting else ""
    threaded = [way for way in family.ways if way.workers == 0 and _speed(way, base) > 1]
    beside = "".join(
        f"; that of {way.label} is {_speed_words(way, base)}"
        for way in sorted(threaded, key=lambda way: -_speed(way, base))[:1]
    )
    reached = base.spread(metric.name).mean
    gaps = [way.spread(metric.name).mean - reached for way in others]
    ends = list(dict.fromkeys(_signed(gap, metric) for gap in (min(gaps), max(gaps))))
    points = " points" if metric.scale == "points" else ""
    slower = [way for way in others if _speed(way, base) < 1]
    tail = (
        f"; {plural(len(slower), 'way is', 'ways are')} slower than one process" if slower else ""
    )
    return (
        f"{within}sequential reaches {in_unit(metric, base.spread(metric.name))} with "
        f"{seconds(base.spread('epoch_seconds'))} an epoch. Of several processes "
        f"{fastest.label} has the shortest epoch, {_speed_words(fastest, base)}{beside}; the "
        f"{metric.heading.removeprefix('test ')} of several processes differs from that of one by "
        f"{' to '.join(ends)}{points}{tail}."
    )


def _speed_words(way: TrainerVariant, base: TrainerVariant) -> str:
    speed = _speed(way, base)
    return f"{ratio(speed)} times as fast" if speed >= 1 else f"{ratio(1 / speed)} times as long"


def _settings(report_data: ReportData) -> list[str]:
    """The label of each trial's family; made of the suite's own words if these distinguish the
    families."""
    trials, full = trials_of(report_data), setting_labels(report_data, *VARIED)
    brief = [
        ", ".join(word for key, word in one.words.items() if key not in (*VARIED, *SAID))
        for one in trials
    ]
    one_to_one = len(set(zip(brief, full, strict=True))) == len(set(brief)) == len(set(full))
    return brief if one_to_one and all(brief) else full


def _column(values: list[Any], frame: pd.DataFrame) -> pd.Series:
    """A column of Python objects, one for each row of the frame."""
    return pd.Series(values, index=frame.index, dtype=object)


def _family(members: pd.DataFrame, metric: Metric) -> Family | None:
    if set(members["trainer"]) <= {SEQUENTIAL}:
        return None
    labels = _way_labels(members)
    budget = min(part["seconds"].median() for _, part in members.groupby(labels, sort=False))
    reached = [_reached(curve, budget) for curve in members["curve"]]
    members = members.assign(at_equal_time=reached, way=labels)
    ways = [
        TrainerVariant(str(label), _workers(part), part) for label, part in groups(members, ["way"])
    ]
    sequential = [way for way in ways if way.frame["trainer"].iloc[0] == SEQUENTIAL]
    baseline = min(sequential, key=lambda way: way.frame["threads"].iloc[0], default=None)
    first = members.iloc[0]
    return Family(str(first["team_setting"]), str(first["backend_label"]), baseline, ways, metric)


def _workers(part: pd.DataFrame) -> int:
    row = part.iloc[0]
    return 0 if row["trainer"] == SEQUENTIAL else int(row["workers"])


def _way_labels(members: pd.DataFrame) -> list[str]:
    """The label of each trial's way of training: the parameters in which the trainers differ, and
    the number of threads if that differs too."""
    trainers = list(members["trainer_parts"])
    distinct = list({repr(one): one for one in trainers}.values())
    words = {repr(one): short_switches(distinct_label(one, distinct)) for one in distinct}
    threads = members["threads"].nunique() > 1
    return [
        words[repr(trainer)] + (f", {plural(int(count), 'thread')}" if threads else "")
        for trainer, count in zip(trainers, members["threads"], strict=True)
    ]


def _curve(report_data: ReportData, index: int) -> list[tuple[float, float]]:
    """(seconds of training so far, primary metric) for each epoch that was evaluated, of the trial
    in row `index`."""
    record, run = report_data.records[index], report_data.runs[index]
    seconds_so_far, curve = 0.0, []
    for epoch in run.epochs(record):
        seconds_so_far += sum(float(epoch.get(part) or 0) for part in EPOCH_PARTS)
        value = epoch_value(epoch, str(report_data.frame.at[index, "primary"]))
        if value is not None:
            curve.append((seconds_so_far, value))
    return curve


def _reached(curve: Sequence[tuple[float, float]], budget: float) -> float:
    """The value of the last evaluation within `budget` seconds of training; NaN if none."""
    within = [value for spent, value in curve if spent <= budget * (1 + 1e-9)]
    return within[-1] if within else float("nan")


def _apart(way: TrainerVariant, base: TrainerVariant | None, metric: Metric) -> Cell:
    """The mean difference in the metric to the baseline over the seeds in common, with its 95 %
    t-interval if there are at least two: `-0.12 [-0.40, +0.16]`."""
    if base is None or way is base:
        return Cell(UNKNOWN)
    differences = (way.by_seed(metric.name) - base.by_seed(metric.name)).dropna()
    if differences.empty:
        return Cell(UNKNOWN)
    if len(differences) < 2:
        return Cell(_signed(float(differences.iloc[0]), metric), float(differences.iloc[0]))
    found = from_zero(differences.tolist())
    effect, low, high = (_signed(v, metric) for v in (found.effect, *found.interval))
    return Cell(f"{effect} [{low}, {high}]", found.effect)


def _signed(difference: float, metric: Metric) -> str:
    """A difference with its sign: in percentage points if the metric is a share, else with three
    digits."""
    sign = "+" if difference > 0 else "−" if difference < 0 else ""
    if metric.scale == "points":
        return f"{sign}{fixed(abs(difference * 100), 2)}"
    return f"{sign}{abs(difference):.3g}"


def _speed(way: TrainerVariant, base: TrainerVariant) -> float:
    return base.spread("epoch_seconds").mean / way.spread("epoch_seconds").mean


def _faster(way: TrainerVariant, base: TrainerVariant | None) -> Cell:
    if base is None or way is base:
        return Cell(UNKNOWN)
    return Cell(ratio(_speed(way, base)), _speed(way, base))


def _sent(way: TrainerVariant) -> Cell:
    mean = way.spread("bytes_sent_per_step").mean
    return number(BUILT_IN["bytes_sent_per_step"], one(mean))


def _staleness(way: TrainerVariant) -> Cell:
    mean, most = way.spread("staleness_mean"), way.frame["staleness_max"].max()
    return Cell(f"{mean.mean:.1f}, at most {most:.0f}", mean.mean) if mean.n else Cell(UNKNOWN)
