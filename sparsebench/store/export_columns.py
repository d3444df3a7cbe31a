"""The columns of an export, as pandas frames: a row per trial, or a row per trial and epoch.

Names and order of the columns are those of `sparsebench.metrics`, which also declares what is
measured; the functions here fill the rows from records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsebench.core.trial import Trial
from sparsebench.metrics import (
    BUILT_IN,
    CIRCUMSTANCES,
    EPOCH_ORDER,
    FINDINGS,
    KERNELS,
    LABELS,
    TRAINING,
)
from sparsebench.store.provenance import commit_name
from sparsebench.store.record import SIMULATED, TRULY_SPARSE, Record
from sparsebench.suite.labels import (
    brief,
    datasets_of,
    distinct_labels,
    flat,
    name_of,
    varies,
)

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

COLUMNS = (
    *LABELS,
    *(metric.name for metric in TRAINING),
    *CIRCUMSTANCES,
    *(metric.name for metric in KERNELS),
    *FINDINGS,
)
"""The first columns of every export, in this order. Other measured quantities follow, then a column
for each grid axis.

kernel ... start_seconds: these columns are for trials that time one operation; the numbers are NaN
                and `kernel` is empty for trials that train
truly_sparse    what the backend declares: True, or False for simulated; None if it declares nothing
audit           the verdict of the audit
noise           words for what disturbed the machine, separated by spaces
oversubscribed  whether all processes of the trial together had more threads than cores
step            "compiled" if a training step was one compiled call, "layers" if it was made layer
                by layer, empty if unknown
"""

MEASURES = tuple(metric.name for metric in (*TRAINING, *KERNELS))
"""Columns of every frame that are measured numbers: float64, NaN if unknown."""

EPOCH_LABELS = (
    "run", "trial", "status", "dataset", "backend", "model", "topology", "prune", "seed",
)  # fmt: skip

LAYERED = tuple(name for name in EPOCH_ORDER if "layer" in BUILT_IN[name].kinds)
"""Columns of the table of epochs that are totals over the layers. The number for layer i, counted
from 1, is in the column `<name>_<i>`."""

WITHOUT_OWN_COLUMN = ("topology.prune", "model.activation", "dataset.path", "dataset.label")
"""Parameters, by dotted key, that get no column of their own: another column has them, or they are
only a path to the data."""

CLAIMS = {TRULY_SPARSE: True, SIMULATED: False}


def trials_frame(records: Sequence[Record], run_id: str, commit: str = "") -> pd.DataFrame:
    """One row per trial, also of failed ones. Columns: `COLUMNS`, other measured quantities, grid
    axes, and every other parameter in which the trials differ.

    A grid axis with the name of one of `COLUMNS` gets no second column. A component's column has
    its name; if components of the same name differ, it has a label that distinguishes them, so that
    grouping by the column never mixes two settings.

    commit  the commit of records that do not have one
    """
    added = dict.fromkeys(name for r in records for name in r.measures if name not in COLUMNS)
    columns = [*COLUMNS, *added]
    rows = [_trial_row(record, run_id, commit) for record in records]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.astype(dict.fromkeys((*MEASURES, *added), "float64"))
    return with_parameters(frame, [record.trial for record in records])


def run_frame(stored: StoredRun) -> pd.DataFrame:
    """`trials_frame` of a stored run, with the commit in its manifest."""
    return trials_frame(stored.records, stored.id, manifest_commit(stored.manifest))


def epochs_frame(stored: StoredRun) -> pd.DataFrame:
    """One row per trial and epoch; a trial that finished no epoch has one row with NaN.

    Columns: labels, the metrics of epochs, each total followed by numbered columns for the layers,
    other measured quantities, and grid axes. A metric that is a small array is a column of lists.
    """
    rows: list[dict[str, Any]] = []
    trials: list[Trial] = []
    layers = 0
    for record in stored.records:
        labels = _labels(record, stored.id)
        for line in stored.epochs(record) or [{}]:
            totals = {name: values for name in LAYERED if (values := line.get(name)) is not None}
            layers = max([layers, *map(len, totals.values())])
            row = {**line.get("metrics", {}), **{name: line.get(name) for name in EPOCH_ORDER}}
            row |= {name: sum(values) for name, values in totals.items()}
            for name, values in {**line.get("layer_metrics", {}), **totals}.items():
                row |= {f"{name}_{i}": value for i, value in enumerate(values, start=1)}
            rows.append(labels | row)
            trials.append(record.trial)
    end = EPOCH_ORDER.index(LAYERED[-1]) + 1
    numbered = [f"{name}_{i}" for name in LAYERED for i in range(1, layers + 1)]
    measured = dict.fromkeys([*EPOCH_ORDER[:end], *numbered, *EPOCH_ORDER[end:], *chain(*rows)])
    columns = [name for name in measured if name not in EPOCH_LABELS]
    numbers = [name for name in columns if not any(isinstance(row.get(name), list) for row in rows)]
    frame = pd.DataFrame(rows, columns=[*EPOCH_LABELS, *columns])
    return with_parameters(frame.astype(dict.fromkeys(numbers, "float64")), trials)


def epoch_value(line: Mapping[str, Any], name: str) -> float | None:
    """A number by name from one line of epochs.jsonl: a field of the line, or one of its metrics.
    None if it is missing or a list."""
    value = line.get(name, line.get("metrics", {}).get(name))
    return None if value is None or isinstance(value, list) else float(value)


def manifest_commit(manifest: Mapping[str, Any]) -> str:
    """The commit of sparsebench that a run used, with `+` if its files were changed; empty if
    unknown."""
    return commit_name(manifest.get("git", {}))


def _labels(record: Record, run_id: str) -> dict[str, Any]:
    """The labels at the start of every row, for a trial or for an epoch."""
    trial = record.trial
    return {
        "run": run_id,
        "trial": trial.id,
        "status": str(record.status),
        "dataset": _name(trial.dataset),
        "backend": _name(trial.backend),
        "model": _name(trial.model),
        "topology": _name(trial.topology),
        "prune": _name(trial.topology.get("prune")),
        "seed": trial.seed,
    }


def _trial_row(record: Record, run_id: str, commit: str) -> dict[str, Any]:
    trial, row = record.trial, dict(record.measures)
    if row.get("warmup_seconds") is None:
        row["warmup_seconds"] = record.phases.get("warmup", {}).get("seconds")
    return {
        **row,
        **_labels(record, run_id),
        "cause": record.cause,
        "suite": trial.suite,
        "activation": _name(trial.model.get("activation")),
        "trainer": _name(trial.trainer),
        "optimizer": _name(trial.optimizer),
        "threads": trial.threads,
        "workers": int(trial.trainer.get("workers") or 1),
        "epochs": trial.epochs,
        "batch_size": trial.batch_size,
        "contended": record.contended,
        "exact": bool(record.settings.get("exact", False)),  # of memory; False: not measured
        "machine": str(record.machine.get("id", "")),
        "commit": str(record.fingerprint.get("commit") or commit),
        "kernel": str(trial.trainer.get("kernel") or ""),
        "truly_sparse": CLAIMS.get(str(record.audit.get("claims", ""))),
        "audit": str(record.audit.get("verdict", "")),
        "noise": " ".join(map(str, record.noise.get("marks", ()))),
        "oversubscribed": record.settings.get("oversubscribed") is True,
        "step": str(record.settings.get("step", "")),
        "bound": next((str(layer["bound"]) for layer in record.layers if "bound" in layer), ""),
    }


def _name(component: Any) -> str:
    """The name of a component as data; empty if there is none."""
    if isinstance(component, Mapping):
        return name_of(component) if "name" in component else ""
    return "" if component is None else str(component)


def with_parameters(frame: pd.DataFrame, trials: Sequence[Trial]) -> pd.DataFrame:
    """Add to a frame with a row per trial: labels that distinguish its components, and a column for
    each grid axis and each parameter that varies, unless a column of that name exists."""
    frame = frame.assign(
        **{
            name: distinct_labels(found)
            for name, found in _components(trials).items()
            if name in frame.columns
        }
    )
    axes = dict.fromkeys(name for trial in trials for name in trial.axes)
    added = {
        name: _axis([trial.axes.get(name) for trial in trials])
        for name in axes
        if name not in frame.columns
    }
    parameters = _parameters_of(trials)
    for name in dict.fromkeys(chain(*parameters)):
        if name not in frame.columns and name not in added and varies(name, parameters):
            added[name] = _axis([one.get(name) for one in parameters])
    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1) if added else frame


def _components(trials: Sequence[Trial]) -> dict[str, list[dict[str, Any]]]:
    """For each column of component names, the components of all trials."""
    parts = ("backend", "model", "topology", "trainer", "optimizer")
    return {
        "dataset": datasets_of(trials),
        **{part: [getattr(trial, part) for trial in trials] for part in parts},
        "activation": [_table(trial.model.get("activation")) for trial in trials],
    }


def _table(component: Any) -> dict[str, Any]:
    return dict(component) if isinstance(component, Mapping) else {"name": _name(component)}


def _parameters_of(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The parameters of each trial. If one trial's component states a parameter that another's
    leaves out, because it has its default, the default stands for that one."""
    found = [_parameters(trial) for trial in trials]
    stated = dict.fromkeys(chain(*found))
    for trial, one in zip(trials, found):
        left_out = {f"{part}.{k}": v for part, c in trial.defaults.items()
                    for k, v in flat(c).items()}  # fmt: skip
        one |= {k: v for k, v in left_out.items() if k in stated and k not in one}
    return found


def _parameters(trial: Trial) -> dict[str, Any]:
    """The parameters of a trial by dotted key, without component names and paths of data."""
    spec = {k: v for k, v in trial.spec().items() if k not in ("format", "data")}
    parts = {key: value for key, value in spec.items() if isinstance(value, Mapping)}
    found = {f"{part}.{k}": v for part, one in parts.items() for k, v in flat(one).items()}
    found = {
        k: v for k, v in found.items() if not k.endswith(".name") and k not in WITHOUT_OWN_COLUMN
    }
    return {**{k: v for k, v in spec.items() if k not in parts}, **found}


def _axis(values: list[Any]) -> list[Any]:
    """The values of an axis in one type: numbers if all are numbers, else text, with distinguishing
    labels for components; empty for a trial without a value."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return [float("nan") if value is None else value for value in values]
    tables = [_table(value) for value in present if isinstance(value, Mapping | str)]
    if any(isinstance(value, Mapping) for value in present) and len(tables) == len(present):
        words = iter(distinct_labels(tables))
        return ["" if value is None else next(words) for value in values]
    return ["" if value is None else brief(value) for value in values]
