"""Gates: how much worse a metric may get before a comparison fails. They come from a file, from
options, and by default from the metrics' declarations in `sparsebench.metrics`.

A change counts as worse only if it exceeds `threshold` and `floor` and is statistically
significant. An example of a file of gates:

schema = 1
alpha = 0.05                    # error rate over all cells of a metric
min_seeds = 5
strict = false                  # true: what could not be decided ends in exit code 6
defaults = true                 # false: only the gates below

[gates.net_peak_bytes]
threshold = "5%"                # of the base's mean, and
floor = "2MiB"                  # in the metric's unit
action = "fail"                 # or "warn", or "off"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict, TypeAdapter, ValidationError

from sparsebench.analysis.number_format import signed
from sparsebench.core.metric import Metric
from sparsebench.errors import GateError, nearest, shown
from sparsebench.metrics import Metrics
from sparsebench.pydantic_errors import complaint
from sparsebench.toml_file import quoted, read_toml
from sparsebench.units import seconds, size

SCHEMA = 1
EXAMPLES = {"bytes": '"2MiB"', "seconds": '"20ms"'}


@dataclass(frozen=True)
class Gate:
    """The gate of one metric: how much worse the side HEAD may be than the side BASE.

    threshold    allowed change relative to the mean of BASE: 0.05 is 5 %
    floor        allowed change in the metric's unit; a worse change exceeds both
    action       "fail": exit code 3; "warn": only a message
    exact_floor  replaces `floor` if the memory of both sides was measured exactly
    """

    metric: Metric
    threshold: float = 0.0
    floor: float = 0.0
    action: Literal["fail", "warn"] = "fail"
    exact_floor: float | None = None

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def exact(self) -> bool:
        return self.metric.scale == "exact"

    def margin(self, base: float) -> float:
        """The largest allowed change of the mean, in the metric's unit.

        base  the mean of BASE
        """
        return max(self.threshold * abs(base), self.floor)

    def for_exact_memory(self) -> Gate:
        return self if self.exact_floor is None else replace(self, floor=self.exact_floor)

    def __str__(self) -> str:
        """The change that counts as worse: `+5 % and +2.00 MiB`, `any change`; or `exact`."""
        if self.exact:
            return "exact"
        parts = [f"{self.threshold * 100:g} %"] if self.threshold else []
        if self.floor:
            parts.append(signed(self.metric, self.floor).removeprefix("+"))
        sign = "-" if self.metric.better > 0 else "+"
        return " and ".join(sign + part for part in parts) or "any change"

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.name,
            "exact": self.exact,
            "threshold": self.threshold,
            "floor": self.floor,
            "action": self.action,
        }


@dataclass(frozen=True)
class Gates:
    """The gates of a comparison by the name of their metric.

    alpha      error rate of the tests of a metric over all cells
    min_seeds  the least number of seeds, or of pairs, with which a metric that varies is judged
    strict     whether metrics that could not be decided end in exit code 6
    named      metrics whose gate the user wrote to fail a comparison; without a value on both sides
               there is no comparison
    """

    by_metric: Mapping[str, Gate]
    alpha: float = 0.05
    min_seeds: int = 5
    strict: bool = False
    named: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Gate]:
        return iter(self.by_metric.values())

    def with_gates(self, *gates: Gate) -> Gates:
        return replace(self, by_metric={**self.by_metric, **{gate.name: gate for gate in gates}})

    def failing_on_time(self, **changed: Any) -> Gates:
        """These gates, except that gates on time fail instead of warning; `changed` replaces
        further fields of the gates on time."""
        times = [gate for gate in self if gate.metric.is_time]
        return self.with_gates(*(replace(gate, action="fail", **changed) for gate in times))


def default_gates(metrics: Metrics | None = None) -> Gates:
    """The gates that metrics declare, exact ones last. By default bytes and counts must be equal;
    worse memory and accuracy fail, and a longer time warns."""
    gates = [
        Gate(one, one.gate.threshold, one.gate.floor, one.gate.action, one.gate.exact_floor)
        for one in (metrics or Metrics()).values()
        if one.gate is not None
    ]
    return Gates({gate.name: gate for gate in sorted(gates, key=lambda gate: gate.exact)})


def resolve_gates(
    file: Path | None,
    fail_if_any: Sequence[str],
    min_seeds: int | None,
    alpha: float | None,
    strict: bool,
    defaults: Gates,
    time_gate: bool = False,
    metrics: Metrics | None = None,
) -> Gates:
    """The gates of a comparison. Options win over the file, which wins over the defaults.

    fail_if_any  gates as texts, see `fail_if`
    time_gate    gates on time fail instead of warning
    metrics      the metrics of the two sides; None: the built-in metrics
    """
    if alpha is not None and not 0 < alpha < 0.5:
        raise GateError(f"alpha: expected a number above 0 and below 0.5, found {shown(alpha)}")
    declared = default_gates(metrics).by_metric
    defaults = replace(defaults, by_metric={**declared, **defaults.by_metric})
    gates = read_gates(file, defaults, metrics) if file is not None else defaults
    if time_gate:
        gates = gates.failing_on_time()
    given = [fail_if(one, metrics) for one in fail_if_any]
    gates = gates.with_gates(*given)
    return replace(
        gates,
        named=gates.named | {gate.name for gate in given},
        alpha=gates.alpha if alpha is None else alpha,
        min_seeds=gates.min_seeds if min_seeds is None else min_seeds,
        strict=gates.strict or strict,
    )


def fail_if(text: str, metrics: Metrics | None = None) -> Gate:
    """Parse `METRIC:AMOUNT[,AMOUNT]`: `net_peak_bytes:+5%,2MiB`, `test_accuracy:-0.5 points`,
    `stored_bytes:exact`. A percentage is the threshold, any other amount the floor. The first
    amount has the sign of the direction that is worse."""
    name, _, amounts = text.partition(":")
    try:
        gate = Gate(metric := _comparable(name.strip(), metrics or Metrics()))
        if not amounts.strip():
            raise GateError("expected METRIC:AMOUNT, such as net_peak_bytes:+5%")
        bad = "-" if metric.better > 0 else "+"
        for number, part in enumerate(part.strip() for part in amounts.split(",")):
            if part == "exact":
                _check_exact(metric)
                continue
            amount = part.lstrip("+-").strip()
            if gate.exact:
                raise GateError(f"{metric.name} is compared exactly; write {metric.name}:exact")
            if part[:1] in ("+", "-") and part[0] != bad:
                more = {1: "more is better", -1: "less is better", 0: "an increase counts as worse"}
                raise GateError(f"of {metric.name} {more[metric.better]}; write {bad}{part[1:]}")
            if part[:1] != bad and not number:
                right = f"{metric.name}:{bad}{amounts.strip()}"
                raise GateError(f"expected a sign, the direction that is worse; write {right}")
            if amount.endswith("%"):
                gate = replace(gate, threshold=_share(amount))
            else:
                gate = replace(gate, floor=_amount(metric, amount))
        return gate
    except GateError as error:
        raise GateError(f"--fail-if {text!r}: {error}") from None


# --- gates of a file -----------------------------------------------------------------

_FORBID: Any = {"extra": "forbid"}
_Flag = Annotated[bool, Strict()]


@dataclass(frozen=True)
class GateTable:
    """A table [gates.METRIC]. Its amounts are parsed later, when the metric is known."""

    __pydantic_config__: ClassVar[Any] = _FORBID

    threshold: Any = None
    floor: Any = None
    exact: Annotated[Literal[True] | None, Field(description="true, or nothing at all")] = None
    action: Literal["fail", "warn", "off"] = "fail"


@dataclass(frozen=True)
class GatesFile:
    __pydantic_config__: ClassVar[Any] = _FORBID

    schema: Any = SCHEMA
    alpha: Annotated[
        float, Strict(), Field(gt=0, lt=0.5, description="a number above 0 and below 0.5")
    ] = Gates.alpha
    min_seeds: Annotated[int, Strict(), Field(ge=2, description="a whole number from 2")] = (
        Gates.min_seeds
    )
    strict: _Flag = False
    defaults: _Flag = True
    gates: Annotated[dict[str, GateTable], Field(description="tables [gates.METRIC]")] = field(
        default_factory=dict
    )


_FORM = TypeAdapter(GatesFile)


def read_gates(file: Path, defaults: Gates | None = None, metrics: Metrics | None = None) -> Gates:
    """The gates of a file, and those of `defaults` (by default those of the metrics) unless the
    file has `defaults = false`. Raises GateError."""
    metrics = metrics or Metrics()
    defaults = defaults if defaults is not None else default_gates(metrics)
    data, _ = read_toml(file, GateError)
    try:
        found = _FORM.validate_python(data)
        if type(found.schema) is not int or found.schema != SCHEMA:
            raise GateError(f"schema: found {shown(found.schema)}; this sparsebench reads {SCHEMA}")
        gates = dict(defaults.by_metric) if found.defaults else {}
        named = frozenset(name for name, table in found.gates.items() if table.action == "fail")
        for name, table in found.gates.items():
            gate = _gate(name, table, gates.pop(name, None), metrics)
            if table.action != "off":
                gates[name] = gate
        if not gates:
            raise GateError("gates: no gate is left; name one: [gates.net_peak_bytes]")
    except ValidationError as error:
        raise GateError(f"{file}: {complaint(error, GatesFile)}") from None
    except GateError as error:
        raise GateError(f"{file}: {error}") from None
    return Gates(gates, found.alpha, found.min_seeds, found.strict, named)


def _gate(name: str, table: GateTable, known: Gate | None, metrics: Metrics) -> Gate:
    """The gate of a table; missing keys are those of the metric's default gate.

    `threshold` and `floor` belong together: if only one is given, the other is 0.
    """
    at = f"gates.{quoted(name)}"
    try:
        gate = known or Gate(_comparable(name, metrics))
        if table.action == "off":
            return gate
        gate = replace(gate, action=table.action)
        amounts = [key for key in ("threshold", "floor") if getattr(table, key) is not None]
        if amounts and gate.exact:
            raise GateError(f"{gate.name} is compared exactly: leave out {', '.join(amounts)}")
        if amounts:
            gate = replace(gate, threshold=0.0, floor=0.0, exact_floor=None)
        if table.exact:
            at += ".exact"
            _check_exact(gate.metric)
        for key in amounts:
            at = f"gates.{quoted(name)}.{key}"
            if key == "threshold":
                gate = replace(gate, threshold=_share(table.threshold))
            else:
                gate = replace(gate, floor=_amount(gate.metric, table.floor))
    except GateError as error:
        raise GateError(f"{at}: {error}") from None
    return gate


# --- metrics and amounts -------------------------------------------------------------


def _comparable(name: str, metrics: Metrics) -> Metric:
    known = {metric.name: metric for metric in metrics.of_trials()}
    if name not in known:
        raise GateError(f"unknown metric {name!r}.{nearest(name, known)}")
    return known[name]


def _check_exact(metric: Metric) -> None:
    if metric.scale != "exact":
        raise GateError(f"{metric.name} varies from run to run and cannot be compared exactly")


def _share(value: object) -> float:
    """Parse a percentage: "5%" is 0.05."""
    if isinstance(value, str) and re.fullmatch(r"\d*\.?\d+%", value.strip()):
        share = float(value.strip()[:-1]) / 100
        if share <= 100:
            return share
    raise GateError(f'expected a share such as "5%", found {value!r}')


def _amount(metric: Metric, value: object) -> float:
    """Parse an amount in the metric's unit: "2MiB", "0.5 points", "20ms", or a bare number."""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise GateError(f"expected an amount, found {value!r}")
        if not isinstance(value, str):
            amount = float(value)
        elif points := re.fullmatch(r"(.*?)points?", value):
            if metric.scale != "points":
                raise GateError(f"{metric.name} is not counted in points")
            amount = float(points[1]) / 100
        else:
            read = {"bytes": size, "seconds": seconds}.get(metric.unit, float)
            amount = float(read(value))
    except ValueError as error:
        if not str(error).startswith("could not convert"):
            raise GateError(str(error)) from None
        example = '"0.5 points"' if metric.scale == "points" else EXAMPLES.get(metric.unit, "0.1")
        raise GateError(f"expected an amount such as {example}, found {value!r}") from None
    if not 0 <= amount < 1e300:
        raise GateError(f"expected an amount of 0 or more, found {amount:g}")
    return amount
