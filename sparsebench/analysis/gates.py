"""Gates: by how much a metric may get worse before a comparison says so. Free of heavy imports.

A change counts as worse only where all three hold: it is more than `threshold`, it is more than
`floor`, and the tests say that it is not chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sparsebench.core.metric import Metric
from sparsebench.errors import GateError, nearest
from sparsebench.metrics import Metrics

Action = Literal["fail", "warn"]


@dataclass(frozen=True)
class Gate:
    """threshold  relative, 0.05 is 5 %: how far from the base's mean
    floor      in the metric's unit: what never matters, however large the share
    action     "fail" ends in exit code 3, "warn" only says so
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

    def told(self) -> str:
        """`+5 % and +2.0 MiB`, as a person would say it."""
        if self.exact:
            return "exact"
        parts = [f"{self.threshold * 100:g} %"] if self.threshold else []
        parts += [_amount(self.metric, self.floor)] if self.floor else []
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
    """What to compare, and how sure to be."""

    by_metric: Mapping[str, Gate]
    alpha: float = 0.05
    min_seeds: int = 5
    strict: bool = False

    def __iter__(self) -> Any:
        return iter(self.by_metric.values())

    def of(self, metrics: Metrics) -> Gates:
        """With the gates that further metrics declare, under those that are here."""
        return replace(self, by_metric={**default_gates(metrics).by_metric, **self.by_metric})

    def with_gates(self, *gates: Gate) -> Gates:
        return replace(self, by_metric={**self.by_metric, **{gate.name: gate for gate in gates}})

    def failing_on_time(self) -> Gates:
        """--time-gate: what only warned of time now fails."""
        times = [replace(gate, action="fail") for gate in self if gate.metric.is_time]
        return self.with_gates(*times)


def default_gates(metrics: Metrics | None = None) -> Gates:
    """Those that metrics declare, the exact ones last: bytes and counts exactly, memory and
    accuracy firmly, time as a warning."""
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
    place = f"--fail-if {text!r}"
    try:
        known = comparable(name.strip(), metrics or Metrics())
        if not colon or not amounts.strip():
            raise GateError("expected METRIC:AMOUNT, such as net_peak_bytes:+5%")
        return _of_amounts(known, amounts)
    except GateError as error:
        raise GateError(f"{place}: {error}") from None


def _of_amounts(known: Metric, text: str) -> Gate:
    gate = Gate(known)
    for part in (part.strip() for part in text.split(",")):
        if part == "exact":
            check_exact(known)
            continue
        amount = part.lstrip("+-").strip()
        _check_sign(known, part)
        if known.scale == "exact":
            raise GateError(f"{known.name} is compared exactly; write {known.name}:exact")
        if amount.endswith("%"):
            gate = replace(gate, threshold=share(amount))
        else:
            gate = replace(gate, floor=floor(known, amount))
    return gate


def check_exact(known: Metric) -> None:
    if known.scale != "exact":
        raise GateError(f"{known.name} varies from run to run and cannot be compared exactly")


def share(value: object) -> float:
    """0.05 of "5%"."""
    try:
        found = float(str(value).removesuffix("%")) / 100 if isinstance(value, str) else -1.0
    except ValueError:
        found = -1.0
    if not isinstance(value, str) or not value.endswith("%") or not 0 <= found <= 100:
        raise GateError(f'expected a share such as "5%", found {value!r}')
    return found


def floor(known: Metric, value: object) -> float:
    """An amount in the metric's unit: "2MiB", "0.5 points", "20ms", or a bare number."""
    from sparsebench.units import seconds, size

    try:
        if isinstance(value, str) and value.removesuffix("s").endswith("point"):
            if known.scale != "points":
                raise ValueError(f"{known.name} is not counted in points")
            return _not_negative(float(value.removesuffix("s").removesuffix("point")) / 100)
        if isinstance(value, str) and known.unit == "bytes":
            return float(size(value))
        if isinstance(value, str) and known.unit == "seconds":
            return seconds(value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"expected an amount, found {value!r}")
        return _not_negative(float(value))
    except ValueError as error:
        told = str(error)
        if told.startswith("could not convert"):
            told = f"expected an amount such as {_example(known)}, found {value!r}"
        raise GateError(told) from None


def _not_negative(value: float) -> float:
    if not 0 <= value < 1e300:
        raise ValueError(f"expected an amount of 0 or more, found {value:g}")
    return value


def _check_sign(known: Metric, part: str) -> None:
    """`+` fails on growth, `-` on decline: only the one that is bad makes sense."""
    bad = "-" if known.better > 0 else "+"
    if known.better and part[:1] in ("+", "-") and part[0] != bad:
        more = "more" if known.better > 0 else "less"
        raise GateError(f"{more} {known.name} is better; write {bad}{part[1:]}")


def _amount(known: Metric, value: float) -> str:
    from sparsebench.units import brief_size

    if known.scale == "points":
        return f"{value * 100:g} points"
    if known.unit == "bytes":
        return brief_size(value)
    return f"{value:g} s" if known.unit == "seconds" else f"{value:g}"


def _example(known: Metric) -> str:
    if known.scale == "points":
        return '"0.5 points"'
    return {"bytes": '"2MiB"', "seconds": '"20ms"'}.get(known.unit, "0.1")
