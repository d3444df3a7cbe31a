"""Formats numbers for reading: units, significant digits, spreads, and lists in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.errors import escape_unprintable

UNKNOWN = "–"

SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"), (1e-12, "ps"))
BYTES = ((2**50, "PiB"), (2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
LARGE = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def spread(value: Spread, scale: float = 1.0, unit: str = "", plain: int = 3) -> str:
    """Mean and standard deviation (sd): `92.41 ± 0.35 %`.

    The sd is shown with two digits, and the mean with the same decimals. The mean has at most
    `plain` significant digits, or two more if the sd would otherwise show none; an sd that shows
    none even so is left out. The numbers are divided by `scale`.
    """
    if value.n == 0 or math.isnan(value.mean):
        return UNKNOWN
    if value.mean == 0.0:
        return "0"
    tail = f" {unit}" if unit else ""
    mean, sd = value.mean / scale, value.sd / scale
    if math.isnan(sd) or sd == 0.0:
        return f"{fixed(mean, decimals_for(mean, plain))}{tail}"
    decimals = max(
        min(decimals_for(sd, 2), decimals_for(mean, plain)),
        min(decimals_for(sd, 1), decimals_for(mean, plain + 2)),
    )
    if round(sd, decimals) == 0.0:
        return f"{fixed(mean, decimals_for(mean, plain))}{tail}"
    return f"{fixed(mean, decimals)} ± {fixed(sd, decimals)}{tail}"


def decimals_for(value: float, digits: int) -> int:
    """The number of decimals, at most 6, that shows `digits` significant digits of `value`."""
    if value == 0.0 or not math.isfinite(value):
        return digits - 1
    rounded = float(f"{abs(value):.10g}")  # 0.99999... is 1
    return min(6, max(0, digits - 1 - math.floor(math.log10(rounded))))


def fixed(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}"


def percent(value: Spread) -> str:
    """A fraction as a percentage: `92.41 ± 0.35 %`."""
    if (value.n and value.sd == 0.0) or math.isnan(value.sd):
        return UNKNOWN if math.isnan(value.mean) else f"{value.mean * 100:.2f} %"
    decimals = min(2, decimals_for(value.sd * 100, 2))
    return f"{value.mean * 100:.{decimals}f} ± {value.sd * 100:.{decimals}f} %"


def share(value: Spread) -> str:
    """A fraction as a percentage with three digits, so that small ones can be distinguished."""
    return spread(value, 0.01, "%")


def seconds(value: Spread) -> str:
    """`3.21 ± 0.05 ms`, `2.5 min`: in the unit of the mean."""
    if value.mean >= 120:
        size, unit = (3600.0, "h") if value.mean >= 7200 else (60.0, "min")
        return spread(value, size, unit)
    return spread(value, *_unit(value.mean, SECONDS))


def size(value: Spread) -> str:
    """Bytes: `12.3 ± 0.4 MiB`."""
    return spread(value, *_unit(value.mean, BYTES))


def rate(value: Spread) -> str:
    """A number per second: `48.2 ± 1.1 k`."""
    scale, unit = _unit(value.mean, LARGE) if value.mean >= 1e3 else (1.0, "")
    return spread(value, scale, unit)


def count(value: float) -> str:
    """A count: `12,345`."""
    return UNKNOWN if math.isnan(value) else f"{value:,.0f}"


def in_unit(metric: Metric, value: Spread) -> str:
    """A value of a metric: `95.31 %`, `12.3 ± 0.4 MiB`, `7,000`."""
    if metric.unit == "count" and not value.sd > 0 and value.mean % 1 == 0:
        return count(value.mean)
    return FORMATS[metric.unit if metric.scale != "points" else "points"](value)


def signed(metric: Metric, value: float, *, relative: bool = False, unit: bool = True) -> str:
    """A difference of a metric: `+1.30 points`, `-2.00 MiB`; if `relative`, a share: `+10.2 %`."""
    if relative or metric.scale == "points":
        hundred = abs(value) * 100
        decimals = 2 if hundred < 10 else 1 if hundred < 1000 else 0
        text = f"{hundred:.2g}" if hundred >= 1e4 else fixed(hundred, decimals)
        tail = (" %" if relative else " points") if unit else ""
    else:
        text, tail = in_unit(metric, one(abs(value))), ""
    sign = ("+" if value > 0 else "-") if re.search("[1-9]", text) else ""
    return f"{sign}{text}{tail}"


def p_value(p: float | None) -> str:
    """A p-value with three decimals, or with four if it would look equal to 0.05."""
    if p is None:
        return ""
    if p < 0.001:
        return "<0.001"
    shown = f"{p:.3f}"
    return shown if shown != "0.050" else f"{p:.4f}"


def result_words(metric: Metric) -> tuple[str, str]:
    """A heading for a primary metric and a word for its best mean: `Accuracy`, `highest`."""
    heading = upper_first(metric.heading.removeprefix("test "))
    return heading, "highest" if metric.better > 0 else "lowest"


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def ratio(value: float) -> str:
    """A ratio with about two significant digits, or all digits before the point: `0.034`, `1.03`,
    `2.3`, `14`, `120`."""
    near_one = 0.1 <= value < 2
    return fixed(value, 2 if near_one else decimals_for(value, 2 if value < 10 else 1))


def one(value: float) -> Spread:
    """A single number as a Spread, for the functions of this module."""
    return Spread.of([value])


def plain(value: Spread) -> str:
    """A number without a unit: `0.4123 ± 0.0021`."""
    return spread(value, plain=4)


FORMATS: dict[str, Callable[[Spread], str]] = {
    "points": percent, "fraction": share, "seconds": seconds, "bytes": size, "per second": rate,
    "count": plain, "number": plain,
}  # fmt: skip
"""The format for each unit of a metric; `points` is for differences in percentage points."""


def _unit(value: float, units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    return next(((size, unit) for size, unit in units if abs(value) >= size), units[-1])


def join(*parts: object) -> str:
    """The non-empty parts joined by commas: `a, b`."""
    return ", ".join(str(part) for part in parts if part)


def printable_lines(text: object) -> object:
    """Text with control characters spelt out in each line. Anything but a plain `str` is returned
    unchanged. For Jinja's `finalize`."""
    return "\n".join(map(escape_unprintable, text.splitlines())) if type(text) is str else text


def sentence_list(items: Sequence[str], last: str = "and") -> str:
    """A list in words: `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def plural(n: int, word: str, words: str = "") -> str:
    """A number with its noun: `1 trial`, `2 trials`."""
    return f"{n:,} {word if n == 1 else words or word + 's'}"
