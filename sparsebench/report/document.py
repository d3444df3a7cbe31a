"""A report as data: sections of text, typed tables and charts. The printers are `markdown`, `html`,
`latex` and `png`. None of them parses text to get a number.

All text is plain text, whoever wrote it: a printer escapes the characters that are special in its
format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sparsebench.analysis.number_format import in_unit
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.errors import escape_unprintable


class Bold(str):
    """A part of a text that is printed in bold."""


class Code(str):
    """A part of a text that is code: a command, a line of a log."""


Text = str | Sequence[str]
"""A line of text, or its parts."""


def parts(text: Text) -> list[str]:
    """The parts of a text on one line, with control characters spelt out."""
    found = [text] if isinstance(text, str) else text
    return [type(part)(escape_unprintable(re.sub(r"\s+", " ", part))) for part in found if part]


def plain(text: Text) -> str:
    return "".join(parts(text))


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    key     the number by which rows are sorted, in the basic unit; cells without a key come last
    trials  ids of the trials behind the cell, to which the HTML page links
    log     the trial to whose log the cell links
    """

    text: Text = ""
    key: float | None = None
    trials: Sequence[str] = ()
    log: str = ""


def number(
    metric: Metric, value: Spread, *, bold: bool = False, tail: str = "", trials: Sequence[str] = ()
) -> Cell:
    """A cell with a value of a metric, such as `92.4 ± 0.3 %`; its key is the mean, and `tail` is
    text after the value."""
    shown = in_unit(metric, value)
    return Cell([Bold(shown) if bold else shown, tail], value.mean if value.n else None, trials)


@dataclass(frozen=True)
class Table:
    """A table. An int in a row becomes a cell with a count; anything else that is not a `Cell`
    becomes a cell with words.

    left     number of leading columns with words; the others have numbers
    label, caption  of the table in LaTeX; a table without them is left out there
    narrow   the columns that fit on a page of a paper; empty: all columns
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
    """A table without its first column if that is empty; None without rows."""
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
    """An axis of a panel.

    kind    the unit of the ticks
    whole   ticks only at whole numbers
    limits  the ends of the axis; None: those of the data; a NaN is the end of the data
    names   the words at 0, 1, 2, ... if this is an axis of words
    """

    label: str
    kind: Literal["number", "fraction", "seconds", "bytes", "count"] = "number"
    log: bool = False
    whole: bool = False
    limits: tuple[float, float] | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Series:
    """Points that are drawn in the same style, and joined in their order.

    toned      the name whose colour the series has; None: the colour of the text
    shaped     the name whose marker and line style the series has; None: the default
    joined     whether points are joined: by lines, in steps, or not at all
    dash       a line style that replaces that of the name
    width      of the line, in pixels
    sizes      diameters of the marks in pixels; empty: no marks
    faint      marks are only shown when a pointer is near
    low, high  ends of a vertical error bar at each point; or of a filled band, if `band`
    left, right  ends of a horizontal error bar
    ahead      marks are outlined
    arrow      an arrow points up from each point
    hover      name -> the texts that a pointer shows, one for each point
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
    """One coordinate system of a chart.

    height  in pixels
    rule   y of a dotted horizontal line
    texts  (x, y, text, side of the point on which the text stands)
    bare   without axes
    image  rows of numbers, from top to bottom, drawn as colours instead of series; `y` is their
           scale
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
    """A chart with one or more panels.

    name    the name of its file, without the ending
    toned   names that are distinguished by colours
    shaped  names that are distinguished by markers and line styles; the same as `toned` if both
            show the same difference
    notes   on parts that are left out
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    toned: Sequence[str] = ()
    shaped: Sequence[str] = ()
    notes: Sequence[str] = ()

    def line_of(self, name: str) -> str:
        """The line style of a name whose series are lines without marks in a style of their own;
        else empty."""
        found = [one for panel in self.panels for one in panel.series if one.shaped == name]
        alone = found and all(one.dash and not one.sizes for one in found)
        return found[0].dash if alone else ""


# --- sections ------------------------------------------------------------------------

Block = Text | Table | Bullets | Chart


@dataclass(frozen=True)
class Section:
    """A section of a report.

    place  where a plugin's section goes: before or after the tables on results, time and memory;
           empty for a built-in section
    """

    title: str
    blocks: Sequence[Block]
    place: Literal["before", "after", ""] = ""

    @property
    def anchor(self) -> str:
        """The anchor of the section on the page, such as `time-and-memory`."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def tables(self) -> list[Table]:
        return [block for block in self.blocks if isinstance(block, Table)]

    @property
    def charts(self) -> list[Chart]:
        return [block for block in self.blocks if isinstance(block, Chart)]


def section(title: str, *blocks: Block | None) -> list[Section]:
    """A list of one section with those blocks that are not None; empty if the first block is
    None."""
    return [Section(title, [one for one in blocks if one])] if blocks[0] else []
