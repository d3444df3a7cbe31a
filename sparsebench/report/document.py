"""A report as data: sections of text, typed tables and charts. The printers are `markdown`, `html`,
`latex` and `png`. None of them parses text to get a number.

All text is plain, whoever wrote it: printers escape what means something in their format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sparsebench.analysis.number_format import in_unit
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.errors import spelt_out


class Bold(str):
    """A part of a text that stands out."""


class Code(str):
    """A part of a text that is code: a command, a line of a log."""


Text = str | Sequence[str]
"""A line, or its parts."""


def parts(text: Text) -> list[str]:
    """The parts of a text on one line, with control characters spelt out."""
    found = [text] if isinstance(text, str) else text
    return [type(part)(spelt_out(re.sub(r"\s+", " ", part))) for part in found if part]


def plain(text: Text) -> str:
    return "".join(parts(text))


@dataclass(frozen=True)
class Cell:
    """key     the number that it is sorted by, in the basic unit; cells without one come last
    trials  ids of the trials that it is about, to which the page leads
    log     the trial whose log it leads to
    """

    text: Text = ""
    key: float | None = None
    trials: Sequence[str] = ()
    log: str = ""


def number(
    metric: Metric, value: Spread, *, bold: bool = False, tail: str = "", trials: Sequence[str] = ()
) -> Cell:
    """A cell of a metric: `92.4 ± 0.3 %`, its mean as the key; `tail` is text behind it."""
    shown = in_unit(metric, value)
    return Cell([Bold(shown) if bold else shown, tail], value.mean if value.n else None, trials)


@dataclass(frozen=True)
class Table:
    """A table with a row of cells per line. An int in a row is a cell that counts, anything else
    that is no `Cell` a cell of words.

    left     number of leading columns that hold words; the others hold numbers
    label, caption  of the table in a paper; without them, it is in none
    narrow   the columns that a paper's page has room for, if not all
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: int = 1
    label: str = ""
    caption: str = ""
    narrow: Sequence[str] = ()

    @property
    def cells(self) -> list[list[Cell]]:
        return [
            [
                one if isinstance(one, Cell)
                else Cell(str(one), float(one) if isinstance(one, int) else None)
                for one in row
            ]
            for row in self.rows
        ]  # fmt: skip

    def in_paper(self, label: str, caption: str, narrow: Sequence[str] = ()) -> Table:
        return replace(self, label=label, caption=caption, narrow=narrow)


def table(header: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> Table | None:
    """A table without a first column in which nothing stands; None without rows."""
    if not rows:
        return None
    if left > 1 and not any(row[0] for row in rows):
        header, rows, left = header[1:], [row[1:] for row in rows], left - 1
    return Table(header, rows, left)


@dataclass(frozen=True)
class Bullets:
    items: Sequence[Text]


# --- charts --------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """kind    the unit in which ticks are shown
    whole   ticks only at whole numbers
    limits  the ends of the axis; None: those of the data
    names   for an axis of words: the words at 0, 1, 2, ...
    """

    label: str
    kind: Literal["number", "fraction", "seconds", "bytes", "count"] = "number"
    log: bool = False
    whole: bool = False
    limits: tuple[float, float] | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Series:
    """Points that look alike, in the order of x.

    toned, shaped  the names whose colour, and whose marker and line style it has; none: ink
    joined     by a line, in steps, or not at all;  dash  instead of the name's own
    sizes      areas of the marks in square points; empty: no marks;  faint  marks only show when
               a pointer is near
    low, high  ends of a bar at each point, or of a band;  left, right  of a bar across
    ahead      marks are outlined
    arrow      an arrow up from each point
    hover      names and the texts that a pointer shows, one for each point
    """

    x: Sequence[float]
    y: Sequence[float]
    toned: str | None = None
    shaped: str | None = None
    joined: Literal["", "line", "steps"] = ""
    dash: str = ""
    width: float = 2.0
    sizes: Sequence[float] = ()
    faint: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    left: Sequence[float] = ()
    right: Sequence[float] = ()
    band: bool = False
    ahead: bool = False
    arrow: bool = False
    hover: dict[str, list[str]] = field(default_factory=dict)


Beside = Literal["left", "right", "above"]


@dataclass(frozen=True)
class Panel:
    """rule   a dotted line across at this y
    texts  (x, y, text, side of the point on which it stands)
    bare   without axes
    image  rows of numbers from above, shown as colours in place of series; `y` is their scale
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    height: float = 340.0
    rule: float | None = None
    texts: Sequence[tuple[float, float, str, Beside]] = ()
    bare: bool = False
    image: Sequence[Sequence[float]] = ()


MOST_PANELS = 9


@dataclass(frozen=True)
class Chart:
    """name    of its file
    toned   names that colours distinguish;  shaped  names that markers and line styles
            distinguish; the same names twice where both stand for one thing
    notes   on parts that are left out
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    toned: Sequence[str] = ()
    shaped: Sequence[str] = ()
    notes: Sequence[str] = ()


# --- sections ------------------------------------------------------------------------

Block = Text | Table | Bullets | Chart


@dataclass(frozen=True)
class Section:
    """place  of a plugin's section: before or after the tables on results, time and memory"""

    title: str
    blocks: Sequence[Block]
    place: Literal["before", "after", ""] = ""

    @property
    def anchor(self) -> str:
        """`time-and-memory`."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def tables(self) -> list[Table]:
        return [block for block in self.blocks if isinstance(block, Table)]

    @property
    def charts(self) -> list[Chart]:
        return [block for block in self.blocks if isinstance(block, Chart)]


def section(title: str, *blocks: Block | None) -> list[Section]:
    """A section of the blocks that are there; none if there is no first one."""
    return [Section(title, [one for one in blocks if one])] if blocks[0] else []
