"""Gates: by how much a metric may get worse before a comparison fails. Free of heavy imports.

A change counts as worse only where it is more than `threshold`, more than `floor`, and not chance
by the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sparsebench.analysis.formats import signed
from sparsebench.core.metric import Metric
from sparsebench.errors import GateError, nearest
from sparsebench.metrics import Metrics

Action = Literal["fail", "warn"]
EXAMPLES = {"bytes": '"2MiB"', "seconds": '"20ms"'}


@dataclass(frozen=True)
class Gate:
    """threshold  relative, 0.05 is 5 %: how far from the base's mean
    floor      in the metric's unit: a smaller change never matters
    action     "fail" ends in exit code 3, "warn" is only shown
    """

    metric: Metric
    threshold: float = 0.0
    floor: float = 0.0
    action: Action = "fail"

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def exact(self) -> bool:
        return self.metric.scale == "exact"

    def margin(self, base: float) -> float:
        """The change of the mean, in the metric's unit, that has to be exceeded."""
        return max(self.threshold * abs(base), self.floor)

    def __str__(self) -> str:
        """`+5 % and +2.00 MiB`."""
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
    """The gates of a comparison by metric, and the error rate of its tests."""

    by_metric: Mapping[str, Gate]
    alpha: float = 0.05
    min_seeds: int = 5
    strict: bool = False

    def __iter__(self) -> Iterator[Gate]:
        return iter(self.by_metric.values())

    def of(self, metrics: Metrics) -> Gates:
        """With the default gates of further metrics; those that are here take precedence."""
        return replace(self, by_metric={**default_gates(metrics).by_metric, **self.by_metric})

    def with_gates(self, *gates: Gate) -> Gates:
        return replace(self, by_metric={**self.by_metric, **{gate.name: gate for gate in gates}})

    def failing_on_time(self) -> Gates:
        """--time-gate: gates on time that only warned now fail."""
        times = [replace(gate, action="fail") for gate in self if gate.metric.is_time]
        return self.with_gates(*times)


def default_gates(metrics: Metrics | None = None) -> Gates:
    """The gates that metrics declare, the exact ones last: bytes and counts must be equal, memory
    and accuracy fail, time warns."""
    gates = [
        Gate(one, one.gate.threshold, one.gate.floor, one.gate.action)
        for one in (metrics or Metrics()).values()
        if one.gate is not None
    ]
    return Gates({gate.name: gate for gate in sorted(gates, key=lambda gate: gate.exact)})


def comparable(name: str, metrics: Metrics) -> Metric:
    """A metric of trials; GateError, with the nearest name, for another."""
    known = {metric.name: metric for metric in metrics.of_trials()}
    if name not in known:
        raise GateError(f"unknown metric {name!r}.{nearest(name, known)}")
    return known[name]


def fail_if(text: str, metrics: Metrics | None = None) -> Gate:
    """A gate of `METRIC:AMOUNT[,AMOUNT]`: `net_peak_bytes:+5%,2MiB`, `test_accuracy:-0.5 points`,
    `stored_bytes:exact`. A share is the threshold, any other amount the floor."""
    name, colon, amounts = text.partition(":")
    try:
        metric = comparable(name.strip(), metrics or Metrics())
        if not colon or not amounts.strip():
            raise GateError("expected METRIC:AMOUNT, such as net_peak_bytes:+5%")
        gate = Gate(metric)
        for part in (part.strip() for part in amounts.split(",")):
            if part == "exact":
                check_exact(metric)
                continue
            amount = part.lstrip("+-").strip()
            bad = "-" if metric.better > 0 else "+"
            if metric.better and part[:1] in ("+", "-") and part[0] != bad:
                more = "more" if metric.better > 0 else "less"
                raise GateError(f"{more} {metric.name} is better; write {bad}{part[1:]}")
            if metric.scale == "exact":
                raise GateError(f"{metric.name} is compared exactly; write {metric.name}:exact")
            if amount.endswith("%"):
                gate = replace(gate, threshold=share(amount))
            else:
                gate = replace(gate, floor=floor(metric, amount))
        return gate
    except GateError as error:
        raise GateError(f"--fail-if {text!r}: {error}") from None


def check_exact(metric: Metric) -> None:
    if metric.scale != "exact":
        raise GateError(f"{metric.name} varies from run to run and cannot be compared exactly")


def share(value: object) -> float:
    """0.05 of "5%"."""
    try:
        found = float(str(value).removesuffix("%")) / 100 if isinstance(value, str) else -1.0
    except ValueError:
        found = -1.0
    if not isinstance(value, str) or not value.endswith("%") or not 0 <= found <= 100:
        raise GateError(f'expected a share such as "5%", found {value!r}')
    return found


def floor(metric: Metric, value: object) -> float:
    """An amount in the metric's unit: "2MiB", "0.5 points", "20ms", or a bare number."""
    from sparsebench.units import seconds, size

    example = '"0.5 points"' if metric.scale == "points" else EXAMPLES.get(metric.unit, "0.1")
    try:
        if isinstance(value, str) and (points := re.fullmatch(r"(.*?)points?", value)):
            if metric.scale != "points":
                raise GateError(f"{metric.name} is not counted in points")
            amount = float(points[1]) / 100
        elif isinstance(value, str) and metric.unit == "bytes":
            return float(size(value))
        elif isinstance(value, str) and metric.unit == "seconds":
            return seconds(value)
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            raise GateError(f"expected an amount, found {value!r}")
        else:
            amount = float(value)
    except ValueError as error:
        if not str(error).startswith("could not convert"):
            raise GateError(str(error)) from None
        raise GateError(f"expected an amount such as {example}, found {value!r}") from None
    if not 0 <= amount < 1e300:
        raise GateError(f"expected an amount of 0 or more, found {amount:g}")
    return amount
