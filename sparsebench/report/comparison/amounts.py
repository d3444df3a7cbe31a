"""Values and changes of a metric as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sparsebench.analysis.formats import UNKNOWN, Spread, decimals_for, fixed, in_unit
from sparsebench.analysis.verdicts import Finding, Replicate
from sparsebench.core.metric import Metric, Scale


def value(finding: Finding, values: Mapping[Replicate, float] | None) -> str:
    """The mean of a side, in the metric's unit; `–` where there is none."""
    if finding.gate is None or not values:
        return UNKNOWN
    return amount(finding.gate.metric, Spread.of(values.values()).mean)


def amount(metric: Metric, number: float) -> str:
    """`95.31 %`, `12.3 MiB`, `7,000`."""
    return UNKNOWN if math.isnan(number) else in_unit(metric, Spread(number, math.nan, 1))


def change(finding: Finding) -> str:
    """`+10.2 %`, `-0.21 points`, `+12`."""
    return "" if finding.effect is None else _signed(finding, finding.effect, unit=True)


def interval(finding: Finding) -> str:
    found = finding.interval
    if found is None:
        return ""
    return f"[{_signed(finding, found[0])}, {_signed(finding, found[1])}]"


def p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def detectable(finding: Finding) -> str:
    """The least change that would have been seen, without a sign."""
    if finding.detectable is None:
        return ""
    return _signed(finding, finding.detectable, unit=True).removeprefix("+")


def _signed(finding: Finding, number: float, *, unit: bool = False) -> str:
    scale = finding.gate.metric.scale if finding.gate is not None else "number"
    factor, word = {"ratio": (100.0, " %"), "points": (100.0, " points")}.get(scale, (1.0, ""))
    scaled = number * factor
    if abs(scaled) >= 1e4 and scale != "exact":
        text = f"{abs(scaled):.2g}"
    else:
        digits = 2 if scale in ("ratio", "points") else 3
        text = fixed(abs(scaled), _decimals(scale, scaled, digits))
    zero = not text.strip("0.,")
    sign = "" if zero else "+" if scaled > 0 else "-"
    return f"{sign}{text}{word if unit else ''}"


def _decimals(scale: Scale, number: float, digits: int) -> int:
    if scale == "exact" and number == int(number):
        return 0
    if scale in ("ratio", "points"):
        return 2 if abs(number) < 10 else 1 if abs(number) < 1000 else 0
    return decimals_for(number, digits)
