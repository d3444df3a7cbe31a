"""What `--json` prints, as types; docs/schemas/ has them as JSON Schema.

`schema` counts up when a field changes its meaning or goes; a field may be added without that.
Numbers that JSON lacks do not occur in comparisons: they are null.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

FORBID = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
OPEN = ConfigDict(extra="allow", strict=True)

VerdictWord = Literal[
    "worse", "better", "same", "ok", "different", "cannot tell", "not comparable",
    "newly failing", "newly passing", "new", "removed",
]  # fmt: skip
HoldsWord = Literal["holds", "fails", "cannot tell", "not run", "not judged"]
ReproductionWord = Literal["reproduced", "better", "worse", "inconclusive", "not run"]


@with_config(FORBID)
class Gate(TypedDict):
    metric: str
    exact: bool
    threshold: float
    floor: float
    action: Literal["fail", "warn"]


@with_config(FORBID)
class ComparedRun(TypedDict):
    run: str
    store: str
    suite: str
    machines: list[str]
    commit: str


@with_config(FORBID)
class ComparedSide(TypedDict):
    mean: float
    sd: float | None
    n: int
    interval: list[float] | None
    interval_bca: list[float] | None
    seeds: list[int]
    values: list[float]


@with_config(FORBID)
class ComparedMetric(TypedDict):
    """effect and interval: a share where effect_unit is "share", else in the metric's unit."""

    cell: str
    label: str
    metric: str
    verdict: VerdictWord
    gate: Gate | None
    fails: bool
    decided: bool
    reason: str
    base: ComparedSide | None
    head: ComparedSide | None
    n: int
    paired: bool | None
    effect: float | None
    effect_unit: Literal["share", "metric"]
    interval: list[float] | None
    p: float | None
    p_holm: float | None
    p_sign_flip: float | None
    detectable: float | None


@with_config(FORBID)
class Compare(TypedDict):
    schema: Literal[1]
    base: ComparedRun
    head: ComparedRun
    alpha: float
    min_seeds: int
    strict: bool
    gates: list[Gate]
    findings: list[ComparedMetric]
    counts: dict[str, int]
    notes: list[str]
    exit_code: Literal[0, 3, 6]


@with_config(FORBID)
class CheckedSide(TypedDict):
    mean: float | None
    sd: float | None
    n: int


@with_config(FORBID)
class CheckedClaim(TypedDict):
    text: str
    source: str
    metric: str
    trials: str
    against: str
    tolerance: float
    verdict: HoldsWord
    reproduction: ReproductionWord
    reason: str
    ours: CheckedSide
    other: CheckedSide
    effect: float | None
    interval: list[float] | None
    p: float | None
    p_fails: float | None


@with_config(FORBID)
class Check(TypedDict):
    schema: Literal[1]
    run: str
    claims: list[CheckedClaim]
    counts: dict[str, int]
    exit_code: Literal[0, 4, 5, 6]


@with_config(OPEN)
class Run(TypedDict):
    run: str
    store: str
    counts: dict[str, int]
    reused: int
    exit_code: int
    cells: list[dict[str, Any]]


@with_config(OPEN)
class PlannedTrial(TypedDict):
    """Beside these, everything that the trial is made of."""

    id: str
    cell: str
    label: str
    note: str
    predicted_seconds: float | None
    least_bytes: NotRequired[int | None]
    seed: int
    epochs: int
    batch_size: int
    threads: int


@with_config(OPEN)
class Plan(TypedDict):
    suite: str
    trials: list[PlannedTrial]


@with_config(OPEN)
class Doctor(TypedDict):
    facts: dict[str, Any]
    warnings: list[str]


OUTPUTS: dict[str, type] = {
    "run": Run,
    "plan": Plan,
    "compare": Compare,
    "check": Check,
    "doctor": Doctor,
}


def json_schema(verb: str) -> dict[str, Any]:
    """The JSON Schema of what the verb prints with `--json`."""
    found = TypeAdapter(OUTPUTS[verb]).json_schema()
    title = f"sparsebench {verb} --json"
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **found, "title": title}


def validate(verb: str, text: str) -> Any:
    """The printed text as data; pydantic.ValidationError where it is not as published."""
    return TypeAdapter(OUTPUTS[verb]).validate_json(text)
