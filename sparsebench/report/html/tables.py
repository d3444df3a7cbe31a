"""The parts of the markdown report as HTML: sections of tables to sort, lists and paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import unescape

from markupsafe import Markup, escape

from sparsebench.analysis.formats import BYTES, LARGE, SECONDS, UNKNOWN, Table

TOKENS = re.compile(r"\\(?P<plain>[\\|*`\[\]<>~])|`(?P<code>[^`]*)`|(?P<bold>\*\*)|&amp;")

UNITS = {
    **{unit: scale for scale, unit in (*SECONDS, *BYTES, *LARGE)},
    "min": 60.0,
    "h": 3600.0,
    "%": 0.01,
}
NUMBER = re.compile(
    r"[^\w+−-]*(?P<number>[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"(?:\s±\s[\d.,e+-]+)?"
    r"(?:\s(?P<unit>[A-Za-zµ%]+)(?![\w]))?"
)
BOUNDS = {"below": -1e-9, "above": 1e-9}
"""Words before a number that sort next to it."""

LONG = 60
"""Characters of a cell from which on it may take several lines."""


@dataclass(frozen=True)
class Cell:
    """key  its sort key, if that is not its text;  kind  a class of the style sheet"""

    shown: Markup
    key: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Grid:
    """A table; `caption` is read out by screen readers."""

    caption: str
    header: list[Cell]
    rows: list[list[Cell]]


@dataclass
class Block:
    """One of: a table, a list, a paragraph."""

    grid: Grid | None = None
    items: list[Markup] = field(default_factory=list)
    text: Markup = field(default_factory=Markup)


@dataclass
class Section:
    """id  for links within the page"""

    title: str
    id: str
    blocks: list[Block] = field(default_factory=list)


def sections(parts: Iterable[str]) -> list[Section]:
    """From `## heading`, tables, lists and paragraphs, as the markdown report yields them."""
    found: list[Section] = []
    for part in parts:
        if part.startswith("#"):
            title = words(part.lstrip("# "))
            found.append(Section(title, anchor(title)))
        elif part and found:
            blocks, lines = found[-1].blocks, part.splitlines()
            if isinstance(part, Table):
                number = 1 + sum(block.grid is not None for block in blocks)
                caption = found[-1].title + (f" ({number})" if number > 1 else "")
                blocks.append(Block(grid=_grid(part, caption)))
            elif all(line.startswith("- ") for line in lines):
                blocks.append(Block(items=[inline(line.removeprefix("- ")) for line in lines]))
            else:
                blocks.append(Block(text=inline(part)))
    return found


def anchor(title: str) -> str:
    """`time-and-memory`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _grid(table: Table, caption: str) -> Grid:
    header = [
        Cell(inline(text), kind="number" if i >= table.left else "")
        for i, text in enumerate(table.header)
    ]
    rows = []
    for row in table.rows:
        cells = []
        for i, text in enumerate(row):
            seen, number = words(text), i >= table.left
            key = sort_key(seen) if number else None
            kind = "number" if number else "long" if len(seen) > LONG else ""
            cells.append(Cell(inline(text), "" if key is None else repr(key), kind))
        rows.append(cells)
    return Grid(caption, header, rows)


def inline(text: str) -> Markup:
    """Bold, code spans and escaped characters of one line of the report's own markdown."""
    made, at, bold = [Markup("")], 0, False
    for token in TOKENS.finditer(text):
        made.append(escape(text[at : token.start()]))
        at = token.end()
        if token["bold"]:
            bold = not bold
            made.append(Markup("<strong>" if bold else "</strong>"))
        elif token["code"] is not None:
            made.append(Markup("<code>{}</code>").format(token["code"].replace("\\|", "|")))
        else:
            made.append(escape(token["plain"] or "&"))
    made += [escape(text[at:]), Markup("</strong>" if bold else "")]
    return Markup("").join(made)


def words(text: str) -> str:
    """The visible text of a line."""
    return unescape(str(inline(text).striptags()))


def sort_key(shown: str) -> float | None:
    """The number that a cell begins with, in its basic unit: 0.0124 of `12.4 ± 0.2 ms (n = 3)`.

    None where it begins with none: such cells come last, whichever way a table is sorted.
    """
    text = shown.strip()
    head, _, tail = text.partition(" ")
    nudge = BOUNDS.get(head, 0.0)
    found = NUMBER.match(tail if nudge else text)
    if text == UNKNOWN or found is None:
        return None
    number = float(found["number"].replace(",", "").replace("−", "-"))
    scaled = number * UNITS.get(found["unit"] or "", 1.0)
    return scaled + nudge * abs(scaled)
