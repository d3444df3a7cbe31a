"""Tables of the report as the page shows them: cells to look at, and keys to sort by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sparsebench.analysis.formats import Table
from sparsebench.report.html.prose import inline, words
from sparsebench.report.html.sorting import sort_key

LONG = 60
"""Characters of a cell from which on it may take several lines."""


@dataclass(frozen=True)
class Cell:
    """key  what it is sorted by, if that is not its text;  kind  a class of the style sheet"""

    shown: Markup
    key: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Grid:
    """A table; `caption` is for those who cannot see where it stands."""

    caption: str
    header: list[Cell]
    rows: list[list[Cell]]


def grid(found: Table, caption: str) -> Grid:
    numeric = [i >= found.left for i in range(len(found.header))]
    header = [
        Cell(inline(text), kind="number" if number else "")
        for text, number in zip(found.header, numeric)
    ]
    rows = [[_cell(text, number) for text, number in zip(row, numeric)] for row in found.rows]
    return Grid(caption, header, rows)


def plain_grid(caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Grid:
    return Grid(caption, [Cell(Markup.escape(name)) for name in header], [list(r) for r in rows])


def _cell(text: str, number: bool) -> Cell:
    seen = words(text)
    key = sort_key(seen) if number else None
    kind = "number" if number else "long" if len(seen) > LONG else ""
    return Cell(inline(text), "" if key is None else repr(key), kind)
