"""The schemas of a store's JSON files as pydantic models, and the names of its files; the schema of
records is in `record.py`.

A name that is read from a file becomes a path only if it is valid. Only keys that are used are
checked; keys of later versions are kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, GetPydanticSchema, TypeAdapter, with_config
from typing_extensions import TypedDict

from sparsebench.core.status import Status
from sparsebench.core.trial import PARTS, Trial, fold_of
from sparsebench.errors import shown
from sparsebench.metrics import BUILT_IN, EPOCH_ORDER

Json = dict[str, Any]

# --- names ----------------------------------------------------------------------------

TURNS = "turns.jsonl"
"""The file in which the command `ab` (two installations in turn) notes the trials it has run."""

TURNS_SCHEMA = 1

MARKER, LOCK = "store.json", "store.lock"
TOP_LEVEL_NAMES = (MARKER, LOCK, "runs", "trials", "baselines", "ab")
"""The names that the store's own folder may contain."""

_SCRATCH = re.compile(r".+\.([0-9]{1,9})\.tmp")


def is_trial(name: object) -> bool:
    """Whether it is a trial's id: 16 hex digits."""
    return isinstance(name, str) and re.fullmatch(r"[0-9a-f]{16}", name) is not None


def is_run(name: object) -> bool:
    """Whether it can be a run's id: one printable path component that is not hidden."""
    if not isinstance(name, str) or not 0 < len(name) <= 255:
        return False
    return name.isprintable() and not name.startswith(".") and not set(name) & set("/\\")


def is_attempt(name: str) -> bool:
    """Whether it is the name of an attempt's folder: a number from 1."""
    return re.fullmatch(r"[1-9][0-9]{0,8}", name) is not None


def scratch_writer(name: str) -> int | None:
    """The pid, from a temporary file's name, of the process that wrote it; None for other names."""
    found = _SCRATCH.fullmatch(name)
    return int(found[1]) if found else None


# --- forms ----------------------------------------------------------------------------

OPEN = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
_TYPED_DICT: Any = TypedDict


def form(required: Json | None = None, /, **optional: Any) -> GetPydanticSchema:
    """The schema of a JSON object, for `Annotated[Json, form({"seconds": float}, cause=str)]`: the
    types of its required keys, then of its optional ones. Other keys are allowed and kept."""
    keys = (required or {}) | {key: NotRequired[kind] for key, kind in optional.items()}
    table = with_config(OPEN)(_TYPED_DICT("Form", keys))
    return GetPydanticSchema(lambda _, handler: handler(table))


def _adapter(*marks: Any) -> TypeAdapter[Json]:
    return TypeAdapter(Annotated[(Json, *marks)])


def _named(what: str, fits: Callable[[str], bool]) -> AfterValidator:
    def check(value: str) -> str:
        if not fits(value):
            raise ValueError(f"expected {what}, found {value!r:.80}")
        return value

    return AfterValidator(check)


def _measure(value: Any) -> Any:
    """The value, if it is a number or None; the texts "nan", "inf" and "-inf" become floats, which
    JSON lacks. Raises ValueError for anything else."""
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError(f"expected a number, found {shown(value)}")


def _measure_or_list(value: Any) -> Any:
    return [_measure(one) for one in value] if isinstance(value, list) else _measure(value)


def _finite_sizes(measures: Json) -> Json:
    """Check the numbers that are added and compared: bytes, counts, and times of earlier
    attempts."""
    for name, value in measures.items():
        added = name.endswith(("_bytes", "connections")) or name.startswith("earlier_")
        if added and value is not None and not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, found {value}")
    return measures


def _sound_trial(trial: Trial) -> Trial:
    """Check that every component has a name, and that no count is negative."""
    components = [(f".{part}", getattr(trial, part)) for part in PARTS]
    components += [(f".observers[{i}]", one) for i, one in enumerate(trial.observers)]
    for at, component in components:
        if not isinstance(component.get("name"), str):
            raise ValueError(f"{at}: expected a component with a name, found {shown(component)}")
    for name in ("epochs", "batch_size", "threads", "seed", "retries"):
        if getattr(trial, name) < 0:
            raise ValueError(f".{name}: expected 0 or more, found {getattr(trial, name)}")
    if trial.fold is not None:
        fold_of(trial.fold)
    workers, kernel = trial.trainer.get("workers"), trial.trainer.get("kernel", "")
    if not (workers is None or type(workers) is int) or not isinstance(kernel, str):
        raise ValueError(f".trainer: expected workers as a number, found {shown(trial.trainer)}")
    return trial


def _complete_event(event: Json) -> Json:
    if event["event"] in ("began", "recorded") and not {"trial", "attempt"} <= set(event):
        raise ValueError(f"the event {event['event']!r} names no attempt")
    return event


TrialId = Annotated[str, _named("a trial's id", is_trial)]
RunId = Annotated[str, _named("a run's id", is_run)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0, lt=10**9)]
SoundTrial = Annotated[Trial, AfterValidator(_sound_trial)]
Measure = Annotated[Any, AfterValidator(_measure)]
Measures = dict[str, Measure]
MeasureOrList = Annotated[Any, AfterValidator(_measure_or_list)]

FINGERPRINT = form(code=str, versions=Json, commit=str, observers=dict[str, str])
MACHINE = form(memory_bytes=float | None)

TRIAL: TypeAdapter[Trial] = TypeAdapter(SoundTrial)

_TRAINED_LAYER = form(
    repeats=list[float], shape=tuple[Count, Count], initial_connections=Count, connections=Count,
    stored_bytes=dict[str, float],
)  # fmt: skip
_PHASE = form({"seconds": float}, peak_rss_bytes=float | None)
RESULT = _adapter(
    form(
        {"status": Status},
        cause=str,
        detail=str,
        measures=Annotated[Measures, AfterValidator(_finite_sizes)],
        phases=dict[str, Annotated[Json, _PHASE]],
        layers=list[Annotated[Json, _TRAINED_LAYER]],
        data_fingerprint=str,
        settings=Json,
    )
)
"""result.json: the end of a trial as its own process reports it."""

PROGRESS = _adapter(
    form(
        epoch=float | None, epochs=float | None, step=float | None, steps=float | None,
        rss_bytes=float | None, loss=Measure, accuracy=Measure, scores=Measures,
    )
)  # fmt: skip
"""progress.json: the progress of a trial's process."""

RANK = _adapter(form({"rank": int}, pid=Positive, start=Count, code=int, orderly=bool, left=str))
"""A line of ranks.jsonl: the start or the end of one process of a trial."""

_PROCESS = form({"pid": Positive, "boot": str, "start": int | None})
SPEC = _adapter(
    form(
        {
            "trial": SoundTrial,
            "attempt": Positive,
            "fingerprint": Annotated[Json, FINGERPRINT],
            "started": str,
            "process": Annotated[Json, _PROCESS],
        },
        run=str,
    )
)
"""spec.json: an attempt as it was known when it began."""

_METRIC = form(
    {"name": str},
    unit=str, scale=str, title=str, symbol=str, whole=bool | None, timed=bool | None,
    kinds=list[str], tracked=bool,
    gate=Annotated[Json, form(threshold=float, floor=float, action=str)],
)  # fmt: skip
_METRICS = list[Annotated[Json, _METRIC]]
"""Declarations of metrics, as `core.metric.Metric.to_json` writes them."""

_PLANNED = form(
    {"id": TrialId, "suite": str, "axes": Json}, words=dict[str, str], defaults=dict[str, Json]
)

MANIFEST = _adapter(
    form(
        {"trials": list[Annotated[Json, _PLANNED]]},
        run=str,
        suite=str,
        title=str,
        suite_hash=str,
        argv=list[str],
        versions=Json,
        machine=Annotated[Json, MACHINE],
        git=Annotated[Json, form(commit=str, dirty=bool)],
        started=str,
        process=Annotated[Json, _PROCESS],
        metrics=_METRICS,
    )
)
"""manifest.json: the planned trials of a run, and its provenance."""

EVENT = _adapter(
    form({"event": str}, trial=TrialId, attempt=Positive, status=str),
    AfterValidator(_complete_event),
)
"""A line of events.jsonl, the journal of a run."""

EPOCH = _adapter(
    form(
        metrics=dict[str, MeasureOrList],
        layer_metrics=dict[str, list[MeasureOrList]],
        **{
            name: list[Measure] if "layer" in BUILT_IN[name].kinds else Measure
            for name in EPOCH_ORDER
        },
    )
)
"""A line of epochs.jsonl, one epoch of a trial; lists have an item per layer."""

_BASELINE_TRIAL = form(
    {
        "trial": TrialId, "seed": Count, "attempt": Positive, "status": Status, "cause": str,
        "measures": dict[str, float], "machine": str, "settings": Json, "contended": bool,
        "debug": bool, "noise": list[str], "code": str, "versions": dict[str, str], "data": str,
        "started": str, "ended": str,
    }
)  # fmt: skip
_BASELINE_CELL = form(
    {
        "cell": TrialId, "label": str, "words": dict[str, str], "spec": Json,
        "trials": list[Annotated[Json, _BASELINE_TRIAL]],
    }
)  # fmt: skip
BASELINE = _adapter(
    form(
        {
            "name": str, "run": str, "suite": str, "commit": str, "made": str,
            "missing": list[TrialId], "cells": list[Annotated[Json, _BASELINE_CELL]],
        },
        metrics=_METRICS, checksum=str,
    )
)  # fmt: skip
"""A baseline, as `analysis.baseline` writes it. A cell is all trials that differ only in seed and
fold; its spec is without these."""

AB_HEADER = _adapter(form({"ab": Count, "base": str, "head": str}, rounds=Count, pairs=Count))
"""The first line of turns.jsonl; `pairs`, the number that is planned, is absent in older files."""

TURN = _adapter(
    form({"side": Literal["base", "head"], "round": Count, "trial": TrialId, "run": RunId})
)
"""A line of turns.jsonl after the first: the side and round that ran a trial, and its run's id."""

STORE_MARKER = _adapter(form({"schema": Annotated[int, Field(ge=1)]}))
"""store.json: the version of the store's layout."""
