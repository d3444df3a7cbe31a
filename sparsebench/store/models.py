"""The forms of the JSON in a store, beside records; see `record.py` for those.

Only what is relied on is checked: a key that a later version adds is kept as it is.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, GetPydanticSchema, TypeAdapter, with_config
from typing_extensions import TypedDict

from sparsebench.core.status import Status
from sparsebench.core.trial import PARTS, Trial
from sparsebench.store.names import is_run, is_trial
from sparsebench.validation import shown

OPEN = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
Json = dict[str, Any]


def like(form: Any) -> GetPydanticSchema:
    """Validate a plain dict by the form of a model or TypedDict: `Annotated[Json, like(Phase)]`."""
    return GetPydanticSchema(lambda _, handler: handler(form))


def _trial_id(value: str) -> str:
    if not is_trial(value):
        raise ValueError(f"expected a trial's id, found {value!r:.80}")
    return value


def _run_id(value: str) -> str:
    if not is_run(value):
        raise ValueError(f"expected a run's id, found {value!r:.80}")
    return value


def _measure(value: Any) -> Any:
    """A number, nothing, or one of the texts that stand for a float that JSON lacks."""
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError(f"expected a number, found {shown(value)}")


def _measure_or_list(value: Any) -> Any:
    return [_measure(one) for one in value] if isinstance(value, list) else _measure(value)


def sound_trial(trial: Trial) -> Trial:
    """Every component has a name, and no count is negative."""
    components = [(f".{part}", getattr(trial, part)) for part in PARTS]
    components += [(f".observers[{i}]", one) for i, one in enumerate(trial.observers)]
    for at, component in components:
        if not isinstance(component.get("name"), str):
            raise ValueError(f"{at}: expected a component with a name, found {shown(component)}")
    for name in ("epochs", "batch_size", "threads", "seed", "retries"):
        if getattr(trial, name) < 0:
            raise ValueError(f".{name}: expected 0 or more, found {getattr(trial, name)}")
    workers, kernel = trial.trainer.get("workers"), trial.trainer.get("kernel", "")
    if not (workers is None or type(workers) is int) or not isinstance(kernel, str):
        raise ValueError(f".trainer: expected workers as a number, found {shown(trial.trainer)}")
    return trial


TrialId = Annotated[str, AfterValidator(_trial_id)]
RunId = Annotated[str, AfterValidator(_run_id)]
AttemptNumber = Annotated[int, Field(gt=0, lt=10**9, description="an attempt's number")]
Count = Annotated[int, Field(ge=0)]
SoundTrial = Annotated[Trial, AfterValidator(sound_trial)]
Measure = Annotated[Any, AfterValidator(_measure)]
MeasureOrList = Annotated[Any, AfterValidator(_measure_or_list)]
Measures = dict[str, Measure]


@with_config(OPEN)
class Fingerprint(TypedDict, total=False):
    code: str
    versions: Json
    commit: str
    observers: dict[str, str]


@with_config(OPEN)
class Layer(TypedDict, total=False):
    repeats: list[float]


@with_config(OPEN)
class Noise(TypedDict, total=False):
    marks: list[str]


@with_config(OPEN)
class Audit(TypedDict, total=False):
    claims: str
    verdict: str
    why: str
    flags: list[str]
    probe: Json


@with_config(OPEN)
class Machine(TypedDict, total=False):
    memory_bytes: float | None


def _finite_sizes(measures: Json) -> Json:
    """Bytes, counts and what earlier attempts took are added up and compared."""
    for name, value in measures.items():
        added = name.endswith(("_bytes", "connections")) or name.startswith("earlier_")
        if added and value is not None and not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, found {value}")
    return measures


@with_config(OPEN)
class TrainedLayer(Layer, total=False):
    shape: tuple[Count, Count]
    initial_connections: Count
    connections: Count
    stored_bytes: dict[str, float]


@with_config(OPEN)
class Phase(TypedDict):
    seconds: float
    peak_rss_bytes: NotRequired[float | None]


@with_config(OPEN)
class Result(TypedDict):
    """result.json: what a trial's process says of its end."""

    status: Status
    cause: NotRequired[str]
    detail: NotRequired[str]
    measures: NotRequired[Annotated[Measures, AfterValidator(_finite_sizes)]]
    phases: NotRequired[dict[str, Annotated[Json, like(Phase)]]]
    layers: NotRequired[Annotated[list[Json], like(list[TrainedLayer])]]
    data_fingerprint: NotRequired[str]
    settings: NotRequired[Json]


@with_config(OPEN)
class Progress(TypedDict, total=False):
    """progress.json: how far a trial's process is."""

    epoch: float | None
    epochs: float | None
    step: float | None
    steps: float | None
    rss_bytes: float | None
    loss: Measure
    accuracy: Measure
    scores: Measures


@with_config(OPEN)
class Rank(TypedDict):
    """A line of ranks.jsonl: the start or the end of one process of a trial."""

    rank: int
    pid: NotRequired[AttemptNumber]
    start: NotRequired[Count]
    code: NotRequired[int]
    orderly: NotRequired[bool]
    left: NotRequired[str]


@with_config(OPEN)
class Process(TypedDict):
    pid: Annotated[int, Field(gt=0, lt=10**9)]
    boot: str
    start: int | None


@with_config(OPEN)
class Spec(TypedDict):
    """spec.json: what was known when an attempt began."""

    trial: SoundTrial
    attempt: AttemptNumber
    fingerprint: Annotated[Json, like(Fingerprint)]
    started: str
    process: Process
    run: NotRequired[str]


@with_config(OPEN)
class MetricGate(TypedDict, total=False):
    threshold: float
    floor: float
    action: str


@with_config(OPEN)
class Metric(TypedDict):
    """The declaration of a metric, as `core.metric.Metric.to_json` leaves it."""

    name: str
    unit: NotRequired[str]
    scale: NotRequired[str]
    title: NotRequired[str]
    symbol: NotRequired[str]
    whole: NotRequired[bool | None]
    timed: NotRequired[bool | None]
    kinds: NotRequired[list[str]]
    tracked: NotRequired[bool]
    gate: NotRequired[MetricGate]


@with_config(OPEN)
class Planned(TypedDict):
    id: TrialId
    suite: str
    axes: Json


@with_config(OPEN)
class Git(TypedDict, total=False):
    commit: str
    dirty: bool


@with_config(OPEN)
class Manifest(TypedDict):
    """manifest.json: what a run planned, and where it came from."""

    trials: list[Planned]
    run: NotRequired[str]
    suite: NotRequired[str]
    title: NotRequired[str]
    suite_hash: NotRequired[str]
    argv: NotRequired[list[str]]
    versions: NotRequired[Json]
    machine: NotRequired[Machine]
    git: NotRequired[Git]
    started: NotRequired[str]
    metrics: NotRequired[list[Metric]]


@with_config(OPEN)
class Event(TypedDict):
    """A line of events.jsonl; those of an attempt name it."""

    event: str
    trial: NotRequired[TrialId]
    attempt: NotRequired[AttemptNumber]


def _complete(event: Event) -> Event:
    if event["event"] in ("began", "recorded") and not {"trial", "attempt"} <= set(event):
        raise ValueError(f"the event {event['event']!r} names no attempt")
    return event


@with_config(OPEN)
class BaselineTrial(TypedDict):
    trial: TrialId
    seed: Count
    attempt: AttemptNumber
    status: Status
    cause: str
    measures: dict[str, float]
    machine: str
    settings: Json
    contended: bool
    debug: bool
    noise: list[str]
    code: str
    versions: dict[str, str]
    data: str
    started: str
    ended: str


@with_config(OPEN)
class BaselineCell(TypedDict):
    """`spec` is that of its trials, without the seed."""

    cell: TrialId
    label: str
    words: dict[str, str]
    spec: Json
    trials: list[BaselineTrial]


@with_config(OPEN)
class Baseline(TypedDict):
    """A baseline of a run; `analysis.baseline` writes them."""

    name: str
    run: str
    suite: str
    commit: str
    made: str
    missing: list[TrialId]
    cells: list[BaselineCell]
    metrics: NotRequired[list[Metric]]


@with_config(OPEN)
class AbHeader(TypedDict):
    """The first line of turns.jsonl."""

    ab: Count
    base: str
    head: str


@with_config(OPEN)
class Turn(TypedDict):
    """Another line of turns.jsonl: a run on one side of an `ab`."""

    side: Literal["base", "head"]
    round: Count
    trial: TrialId
    run: RunId


@with_config(OPEN)
class Marker(TypedDict):
    """store.json."""

    schema: Annotated[int, Field(ge=1)]


@with_config(OPEN)
class Epoch(TypedDict, total=False):
    """A line of epochs.jsonl; lists have a number per layer."""

    epoch: Measure
    train_loss: Measure
    test_loss: Measure
    test_accuracy: Measure
    validation_accuracy: Measure
    learning_rate: Measure
    connections: list[Measure]
    dropped: list[Measure]
    grown: list[Measure]
    pruned: list[Measure]
    data_seconds: Measure
    train_seconds: Measure
    topology_seconds: Measure
    eval_seconds: Measure
    observe_seconds: Measure
    rss_bytes: Measure
    metrics: dict[str, MeasureOrList]
    layer_metrics: dict[str, list[MeasureOrList]]


def _adapter(form: Any, *marks: Any) -> TypeAdapter[Json]:
    return TypeAdapter(Annotated[Json, like(form), *marks])


TRIAL: TypeAdapter[Trial] = TypeAdapter(SoundTrial)
RESULT, PROGRESS, RANK = _adapter(Result), _adapter(Progress), _adapter(Rank)
SPEC, MANIFEST, MARKER = _adapter(Spec), _adapter(Manifest), _adapter(Marker)
BASELINE, AB_HEADER, TURN = _adapter(Baseline), _adapter(AbHeader), _adapter(Turn)
EVENT, EPOCH = _adapter(Event, AfterValidator(_complete)), _adapter(Epoch)
