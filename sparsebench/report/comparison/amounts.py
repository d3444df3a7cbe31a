"""Values and changes of a metric as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from sparsebench.analysis.formats import (
    UNKNOWN,
    Spread,
    count,
    decimals_for,
    fixed,
    percent,
    rate,
    seconds,
    size,
    spread,
)
from sparsebench.analysis.metrics import METRICS, Metric, Scale
from sparsebench.analysis.verdicts import Finding


def value(metric: str, values: Iterable[float]) -> str:
    """The mean, in the metric's unit: `95.31 %`, `12.3 MiB`, `7,000`."""
    return amount(metric, Spread.of(values).mean)


def amount(metric: str, number: float) -> str:
    shown = Spread(number, math.nan, 1)
    if math.isnan(number):
        return UNKNOWN
    if metric.endswith("accuracy"):
        return percent(shown)
    formats: dict[str, Callable[[Spread], str]] = {
        "_per_second": rate, "_seconds": seconds, "_bytes": size,
    }  # fmt: skip
    for ending, show in formats.items():
        if metric.endswith(ending):
            return show(shown)
    whole = number == int(number) and metric not in ("train_loss", "test_loss")
    return count(number) if whole else spread(shown, plain=4)


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
    known = METRICS.get(finding.metric)
    scale: Scale = known.scale if known is not None else "number"
    factor, word = {"ratio": (100.0, " %"), "points": (100.0, " points")}.get(scale, (1.0, ""))
    scaled = number * factor
    if abs(scaled) >= 1e4 and scale != "exact":
        text = f"{abs(scaled):.2g}"
    else:
        digits = 2 if scale in ("ratio", "points") else 3
        text = fixed(abs(scaled), _decimals(known, scaled, digits))
    zero = not text.strip("0.,")
    sign = "" if zero else "+" if scaled > 0 else "-"
    return f"{sign}{text}{word if unit else ''}"


def _decimals(known: Metric | None, number: float, digits: int) -> int:
    if known is not None and known.scale == "exact" and number == int(number):
        return 0
    if known is not None and known.scale in ("ratio", "points"):
        return 2 if abs(number) < 10 else 1 if abs(number) < 1000 else 0
    return decimals_for(number, digits)
