"""What the data of a store must look like before anybody relies on it.

Only what is relied on is looked at: what a later version adds is no damage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sparsebench.core.status import Status
from sparsebench.metrics import BUILT_IN, EPOCH_ORDER
from sparsebench.store.names import is_attempt, is_trial

STATUSES = frozenset(str(status) for status in Status)

Check = Callable[[Any, str], None]
"""Raises ValueError that says where and what was expected."""


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_measure(value: Any) -> bool:
    return value is None or is_number(value) or value in ("nan", "inf", "-inf")


def _is_measure_or_list(value: Any) -> bool:
    return all(map(_is_measure, value)) if isinstance(value, list) else _is_measure(value)


def one(expected: str, holds: Callable[[Any], bool]) -> Check:
    def check(value: Any, where: str) -> None:
        if not holds(value):
            found = repr(value)
            shown = found if len(found) <= 40 else f"{found[:40]} ..."
            raise ValueError(f"{where}: expected {expected}, found {shown}")

    return check


TEXT = one("text", lambda value: isinstance(value, str))
FLAG = one("true or false", lambda value: isinstance(value, bool))
NUMBER = one("a number", is_number)
COUNT = one(
    "a whole number from 0",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
)
MAYBE_NUMBER = one("a number or nothing", lambda value: value is None or is_number(value))
MEASURE = one("a number", _is_measure)
MEASURE_OR_LIST = one("a number or a list of numbers", _is_measure_or_list)
ANYTHING = one("anything", lambda value: True)
TRIAL_ID = one("a trial's id", is_trial)
ATTEMPT = one("an attempt's number", is_attempt)


def table(required: Mapping[str, Check], /, **optional: Check) -> Check:
    """An object with these keys; others are not looked at."""
    known = [*required.items(), *optional.items()]

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected an object, found {type(value).__name__}")
        for key in required:
            if key not in value:
                raise ValueError(f"{where} has no {key!r}")
        for key, inner in known:
            if key in value:
                inner(value[key], key)

    return check


def each(of: Check) -> Check:
    """An object, all of whose values are alike."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected an object, found {type(value).__name__}")
        if of is not ANYTHING:
            for key, inner in value.items():
                of(inner, key)

    return check


def many(of: Check) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list):
            raise ValueError(f"{where}: expected a list, found {type(value).__name__}")
        for inner in value:
            of(inner, where)

    return check


COMPONENT = table({"name": TEXT})
TRIAL = table(
    {
        **dict.fromkeys(("dataset", "model", "topology", "optimizer", "backend"), COMPONENT),
        "trainer": table({"name": TEXT}, workers=MAYBE_NUMBER, kernel=TEXT),
        **dict.fromkeys(("epochs", "batch_size", "threads", "seed"), COUNT),
    },
    objective=COMPONENT, scaling=TEXT,
    split_seed=MAYBE_NUMBER, validation=NUMBER, huge_pages=FLAG, data=each(ANYTHING), suite=TEXT,
    locations=many(TEXT),
    axes=each(ANYTHING), words=each(TEXT), timeout=MAYBE_NUMBER, memory_limit=MAYBE_NUMBER,
    retries=COUNT, checkpoint=MAYBE_NUMBER, observers=many(COMPONENT),
    keep_model=one("true, false or nothing", lambda value: value is None or value in (True, False)),
)  # fmt: skip
FINGERPRINT = table({}, code=TEXT, versions=each(ANYTHING), commit=TEXT, observers=each(TEXT))
MACHINE = table({}, memory_bytes=MAYBE_NUMBER)
PHASE = table({}, seconds=MEASURE)
LAYER = table({}, repeats=many(NUMBER))
NOISE = table({}, marks=many(TEXT))
AUDIT = table(
    {},
    **dict.fromkeys(("claims", "verdict", "why"), TEXT),
    flags=many(TEXT),
    probe=each(ANYTHING),
)
RECORD = table(
    {
        "trial": TRIAL, "attempt": ATTEMPT, "status": TEXT, "cause": TEXT, "detail": TEXT,
        "measures": each(MEASURE), "phases": each(PHASE), "layers": many(LAYER),
        "data_fingerprint": TEXT, "fingerprint": FINGERPRINT, "settings": each(ANYTHING),
        "noise": NOISE, "audit": AUDIT, "machine": MACHINE,
        "started": TEXT, "ended": TEXT, "contended": FLAG, "debug": FLAG, "log_tail": TEXT,
    }
)  # fmt: skip
RESULT = table(
    {"status": one("a status", lambda value: isinstance(value, str) and value in STATUSES)},
    cause=TEXT, detail=TEXT, measures=each(MEASURE), phases=each(PHASE), layers=many(LAYER),
    data_fingerprint=TEXT, settings=each(ANYTHING),
)  # fmt: skip
PROGRESS = table(
    {},
    **dict.fromkeys(("epoch", "epochs", "step", "steps", "rss_bytes"), MAYBE_NUMBER),
    **dict.fromkeys(("loss", "accuracy"), MEASURE),
    scores=each(MEASURE),
)
PROCESS = table(
    {"pid": one("a process", lambda value: is_attempt(value)), "boot": TEXT, "start": MAYBE_NUMBER}
)
_INTEGER = one("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool))
RANK = table(
    {"rank": _INTEGER},
    pid=one("a process", lambda value: is_attempt(value)), start=COUNT, code=_INTEGER,
    orderly=FLAG, left=TEXT,
)  # fmt: skip
SPEC = table(
    {
        "trial": TRIAL, "attempt": ATTEMPT, "fingerprint": FINGERPRINT, "started": TEXT,
        "process": PROCESS,
    },
    run=TEXT,
)  # fmt: skip
MAYBE_FLAG = one("true, false or nothing", lambda value: value is None or isinstance(value, bool))
METRIC = table(
    {"name": TEXT},
    **dict.fromkeys(("unit", "scale", "title", "symbol"), TEXT),
    whole=MAYBE_FLAG, timed=MAYBE_FLAG, kinds=many(TEXT), tracked=FLAG,
    gate=table({}, threshold=NUMBER, floor=NUMBER, action=TEXT),
)  # fmt: skip
PLANNED = table({"id": TRIAL_ID, "suite": TEXT, "axes": each(ANYTHING)})
_COMMIT = table({"commit": TEXT, "dirty": FLAG})


def _git(value: Any, where: str) -> None:
    """Nothing outside git."""
    if value != {}:
        _COMMIT(value, where)


MANIFEST = table(
    {"trials": many(PLANNED)},
    suite=TEXT, title=TEXT, suite_hash=TEXT, argv=many(TEXT), versions=each(ANYTHING),
    machine=MACHINE, git=_git, started=TEXT, metrics=many(METRIC),
)  # fmt: skip
EVENT = table({"event": TEXT})
CHOICE = table({"trial": TRIAL_ID, "attempt": ATTEMPT})
EPOCH = table(
    {},
    **{
        name: many(NUMBER) if "layer" in BUILT_IN[name].kinds else MEASURE for name in EPOCH_ORDER
    },
    metrics=each(MEASURE_OR_LIST), layer_metrics=each(many(MEASURE_OR_LIST)),
)  # fmt: skip


def event(data: Any) -> dict[str, Any]:
    """A line of events.jsonl."""
    EVENT(data, "the event")
    if data["event"] in ("began", "recorded"):
        CHOICE(data, "the event")
    return dict(data)


def rank(data: Any) -> dict[str, Any]:
    """A line of ranks.jsonl."""
    RANK(data, "the line")
    return dict(data)


def epoch(data: Any) -> dict[str, Any]:
    """A line of epochs.jsonl."""
    EPOCH(data, "the epoch")
    return dict(data)
