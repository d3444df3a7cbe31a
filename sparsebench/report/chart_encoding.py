"""Decides which differences between trials a chart shows as panels, colours and shapes: panels are
data sets and sizes; colours and shapes are for what varies within a panel."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from sparsebench.analysis.footnote_marks import marked_topologies
from sparsebench.analysis.number_format import join
from sparsebench.analysis.report_data import ReportData, trials_of
from sparsebench.analysis.trial_settings import settings, value_at, with_keys_removed
from sparsebench.core.trial import Trial
from sparsebench.errors import printable
from sparsebench.suite.labels import brief, distinct_label, flat

SIZE = "model.hidden"
COMPONENTS = ("topology", "trainer", "backend", "model", "optimizer", "objective", "dataset")
"""Parts of a trial that have parameters. The first one that varies is shown by colours."""

MOST_TONES = 8
"""The number of colours that can be distinguished. If there are more values, components of the same
name share a colour, whatever their parameters."""

SPREAD_OVER = ("seed", "split_seed", "fold")
"""Keys over which each mark is a mean."""


def distinctions(
    report_data: ReportData, *axes: str, color: str = "", panel: str | None = None
) -> pd.DataFrame:
    """For each row of the report data: its panel, tone (colour) and shape in words, and the id of
    its line. The words leave out the keys in `axes`, keys that follow from the data set, and keys
    that are the same in all trials.

    color  a part of a trial or a dotted key; by default the first part that varies
    panel  a part or dotted key; by default the data set and, if it varies within one, the size
    """
    frame, out = report_data.frame, (*axes, *report_data.folded)
    trials = [with_keys_removed(trial, *out) for trial in trials_of(report_data)]
    in_panels = (
        _panel_keys(report_data, trials, axes, color) if panel is None else [panel] * bool(panel)
    )
    inside = [with_keys_removed(trial, *in_panels) for trial in trials]
    tone_key = color or next((key for key in COMPONENTS if _varies(inside, key)), "")
    tones = key_labels(report_data, trials, tone_key) if tone_key else [""] * len(trials)
    if color:
        tones = [tone or "none" for tone in tones]
    if len(set(tones)) > MOST_TONES:
        tones = [brief(value_at(trial, tone_key) or "") for trial in trials]
    rest = [with_keys_removed(trial, tone_key) if tone_key else trial for trial in inside]
    own = [key for key in ("topology", "backend") if key != tone_key and _varies(rest, key)]
    shapes = [key_labels(report_data, rest, key) for key in own]  # these are no part of a setting
    shapes += [_setting_labels(rest), list(frame["apart"])]
    panels = [key_labels(report_data, trials, key) for key in in_panels]
    found = pd.DataFrame(
        {
            "panel": [join(*each) for each in zip(*panels)] if panels else "",
            "tone": tones,
            "shape": [join(*each) for each in zip(*shapes)],
            "line": [trial.id for trial in trials],
        },
        index=frame.index,
    )
    if found["tone"].nunique() < 2:
        found["tone"] = found["shape"]
    if found["shape"].nunique() < 2:
        found["shape"] = found["tone"]
    return found


def key_labels(
    report_data: ReportData, trials: Sequence[Trial], key: str, *, bare: bool = False
) -> list[str]:
    """A text per trial for this key: of a component a label that tells it from those of the other
    trials; of any other value `name=value`, or the value alone if `bare`; empty if there is
    none."""
    labels = report_data.frame["backend_label"]
    if key == "backend" and labels.nunique() == len({repr(trial.backend) for trial in trials}):
        return list(labels)  # with the marks of the audit
    if key == "dataset":
        return list(report_data.frame["dataset"])
    values = [value_at(trial, key) for trial in trials]
    components = list({repr(v): v for v in values if isinstance(v, dict)}.values())
    name = "" if bare else f"{key.rpartition('.')[2]}="
    found = [
        short_switches(printable(distinct_label(value, components))) if isinstance(value, dict)
        else "" if value is None
        else printable(name + brief(value))
        for value in values
    ]  # fmt: skip
    if key != "topology":
        return found
    return marked_topologies(found, report_data.records_of(report_data.frame))


def short_switches(label: str) -> str:
    """Shorten the switches in a label: `wasap (workers=2, average=True, exact=False)` becomes
    `wasap (workers=2, average)`."""
    found = re.sub(r"(, )?\b\w+=False\b", "", label.replace("=True", ""))
    return found.replace("(, ", "(").removesuffix(" ()")


def parameter_keys(report_data: ReportData) -> list[str]:
    """The parts of a trial and dotted keys in which the trials differ, except seed, split seed and
    fold."""
    specs = [_flat(trial) for trial in trials_of(report_data)]
    keys = dict.fromkeys(key for spec in specs for key in spec if not key.endswith(".name"))
    return [k for k in keys if k not in SPREAD_OVER and len({brief(s.get(k)) for s in specs}) > 1]


def _flat(trial: Trial) -> dict[str, object]:
    """The parts of a trial and their parameters by dotted key: `topology` is the component's name,
    `topology.epsilon` its parameter."""
    found: dict[str, object] = {}
    for part, value in trial.spec().items():
        if isinstance(value, dict) and part != "data":
            found[part] = value.get("name")
            found.update({f"{part}.{key}": one for key, one in flat(value).items()})
        elif part not in ("data", "format"):
            found[part] = value
    return found


def _panel_keys(
    report_data: ReportData, trials: Sequence[Trial], axes: Sequence[str], color: str
) -> list[str]:
    keys = ["dataset"] if report_data.frame["dataset"].nunique() > 1 and color != "dataset" else []
    if SIZE not in (*axes, *report_data.folded, color) and _varies(trials, SIZE):
        keys.append(SIZE)
    return keys


def _varies(trials: Sequence[Trial], key: str) -> bool:
    return len({repr(value_at(trial, key)) for trial in trials}) > 1


def _setting_labels(trials: Sequence[Trial]) -> list[str]:
    """The settings in which the trials differ, in words. If they differ in one key only, its name
    precedes a value that begins with a digit: `epsilon=20`."""
    keys, values = settings(trials)
    return [f"{keys[0]}={v}" if len(keys) == 1 and v[:1].isdigit() else v for v in values]
