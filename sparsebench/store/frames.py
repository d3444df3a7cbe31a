"""Records as pandas frames: one row per trial, or one row per trial and epoch."""

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
from sparsebench.suite.labels import brief

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

COLUMNS = (
    *LABELS,
    *(metric.name for metric in TRAINING),
    *CIRCUMSTANCES,
    *(metric.name for metric in KERNELS),
    *FINDINGS,
)
"""The contract: these names, in this order, then what else was measured, then one column per grid
axis. From `kernel` to `start_seconds` they are of trials that time one operation, and unknown for
those that train. `truly_sparse` is what the backend claims, None if it says nothing; `audit` what
was found; `noise` the words for what disturbed the machine, with spaces between; `oversubscribed`
whether the trial had more threads, of all its processes, than cores."""

MEASURES = tuple(metric.name for metric in (*TRAINING, *KERNELS))
"""Measured numbers of every frame: float64, NaN where unknown."""

EPOCH_LABELS = (
    "run", "trial", "status", "dataset", "backend", "model", "topology", "prune", "seed",
)  # fmt: skip


def trials_frame(records: Sequence[Record], run_id: str, commit: str = "") -> pd.DataFrame:
    """One row per trial, whatever became of it: the contract's columns, then what else its trials
    measured, then the grid axes.

    An axis named like a column of the contract is that column. `commit` fills in where a
    record does not name its own.
    """
    known = set(COLUMNS)
    added = dict.fromkeys(n for record in records for n in record.measures if n not in known)
    columns = [*COLUMNS, *added]
    rows = [{**record.measures, **_row(record, run_id, commit)} for record in records]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.astype(dict.fromkeys((*MEASURES, *added), "float64"))
    return _with_axes(frame, [record.trial for record in records], columns)


def run_frame(stored: StoredRun) -> pd.DataFrame:
    """`trials_frame` of a stored run, with the commit that its manifest names."""
    return trials_frame(stored.records, stored.id, manifest_commit(stored.manifest))


def epochs_frame(stored_run: StoredRun) -> pd.DataFrame:
    """One row per trial and epoch; a trial that finished no epoch is one row with NaN.

    A metric that is a small array is a column of lists.
    """
    rows: list[dict[str, Any]] = []
    trials: list[Trial] = []
    for record in stored_run.records:
        labels = _labels(record, stored_run.id)
        lines = stored_run.epochs(record) or [{}]
        rows += [{**labels, **_epoch_row(line)} for line in lines]
        trials += [record.trial] * len(lines)
    columns = _epoch_columns(rows)
    numbers = [name for name in columns if not any(isinstance(row.get(name), list) for row in rows)]
    columns = [*EPOCH_LABELS, *columns]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, "float64"))
    return _with_axes(frame, trials, columns)


def epoch_value(line: Mapping[str, Any], name: str) -> float | None:
    """A number of one line of epochs.jsonl, whether it has a field of its own or not."""
    value = line.get(name, line.get("metrics", {}).get(name))
    return None if value is None or isinstance(value, list) else float(value)


def manifest_commit(manifest: Mapping[str, Any]) -> str:
    """The commit that ran, with `+` if the tree was changed; empty if unknown."""
    return commit_name(manifest.get("git", {}))


def component_name(value: Any) -> str:
    """The name of a component as data; empty if there is none."""
    if isinstance(value, Mapping):
        return str(value.get("name", ""))
    return "" if value is None else str(value)


def _row(record: Record, run_id: str, commit: str) -> dict[str, Any]:
    trial = record.trial
    row: dict[str, Any] = {name: record.measures.get(name) for name in MEASURES}
    if row["warmup_seconds"] is None:
        row["warmup_seconds"] = record.phases.get("warmup", {}).get("seconds")
    return {
        **row,
        **_labels(record, run_id),
        "cause": record.cause,
        "suite": trial.suite,
        "activation": component_name(trial.model.get("activation")),
        "trainer": component_name(trial.trainer),
        "optimizer": component_name(trial.optimizer),
        "threads": trial.threads,
        "workers": int(trial.trainer.get("workers") or 1),
        "epochs": trial.epochs,
        "batch_size": trial.batch_size,
        "contended": record.contended,
        "exact": _exact(record),
        "machine": str(record.machine.get("id", "")),
        "commit": str(record.fingerprint.get("commit") or commit),
        "kernel": str(trial.trainer.get("kernel") or ""),
        "truly_sparse": CLAIMS.get(str(record.audit.get("claims", ""))),
        "audit": str(record.audit.get("verdict", "")),
        "noise": " ".join(map(str, record.noise.get("marks", ()))),
        "oversubscribed": record.settings.get("oversubscribed") is True,
        "bound": next((str(layer["bound"]) for layer in record.layers if "bound" in layer), ""),
    }


CLAIMS = {TRULY_SPARSE: True, SIMULATED: False}
"""What a record's audit calls a claim, as the export does."""


def _labels(record: Record, run_id: str) -> dict[str, Any]:
    trial = record.trial
    return {
        "run": run_id,
        "trial": trial.id,
        "status": str(record.status),
        "dataset": component_name(trial.dataset),
        "backend": component_name(trial.backend),
        "model": component_name(trial.model),
        "topology": component_name(trial.topology),
        "prune": component_name(trial.topology.get("prune")),
        "seed": trial.seed,
    }


def _exact(record: Record) -> bool:
    """Whether memory was measured exactly; not where nothing was measured."""
    return bool(record.settings.get("exact", False))


def _epoch_row(line: Mapping[str, Any]) -> dict[str, Any]:
    """One line of epochs.jsonl; a list of layers as numbered columns, and a total of the
    contract's."""
    row: dict[str, Any] = {}
    layers: dict[str, list[Any]] = {**line.get("layer_metrics", {})}
    for name in EPOCH_ORDER:
        value = line.get(name)
        if isinstance(value, list):
            row[name], layers[name] = sum(value), value
        else:
            row[name] = _value(value)
    for name, values in layers.items():
        row |= {f"{name}_{i}": _value(value) for i, value in enumerate(values, start=1)}
    return {**{name: _value(value) for name, value in line.get("metrics", {}).items()}, **row}


def _epoch_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The measured columns of an epochs frame: the contract's in its order, layer by layer behind
    the totals of layers; then what else was measured."""
    found = [name for name in dict.fromkeys(chain(*rows)) if name not in EPOCH_LABELS]
    layered = [name for name in EPOCH_ORDER if "layer" in BUILT_IN[name].kinds]
    most = max((_number_of(column, layered) for column in found), default=0)
    numbered = [f"{name}_{i}" for name in layered for i in range(1, most + 1)]
    end = EPOCH_ORDER.index(layered[-1]) + 1
    return list(dict.fromkeys([*EPOCH_ORDER[:end], *numbered, *EPOCH_ORDER[end:], *found]))


def _number_of(column: str, names: Sequence[str]) -> int:
    """1 for connections_1; 0 for a column of none of these names."""
    stem, _, number = column.rpartition("_")
    return int(number) if stem in names and number.isdigit() else 0


def _value(value: Any) -> Any:
    """A number, or the list of a small array. NaN and infinities are strings in JSON."""
    if isinstance(value, list):
        return [_value(one) for one in value]
    return float(value) if isinstance(value, str) else value


def _with_axes(frame: pd.DataFrame, trials: Sequence[Trial], known: Sequence[str]) -> pd.DataFrame:
    """The frame with a column per grid axis that it does not have yet, in order of appearance."""
    names = dict.fromkeys(name for trial in trials for name in trial.axes)
    added = {
        name: _axis([trial.axes.get(name) for trial in trials])
        for name in names
        if name not in known
    }
    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1) if added else frame


def _axis(values: list[Any]) -> list[Any]:
    """Grid values of one type: numbers if all are, else text; empty where a trial has none."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return [float("nan") if value is None else value for value in values]
    return ["" if value is None else brief(value) for value in values]
