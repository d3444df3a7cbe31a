"""The sections of the markdown report, taken apart for the page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from markupsafe import Markup

from sparsebench.analysis.formats import Table
from sparsebench.report.html.grids import Grid, grid
from sparsebench.report.html.prose import bullets, inline, words


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
            found[-1].blocks.append(_block(part, found[-1]))
    return found


def anchor(title: str) -> str:
    """`time-and-memory`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _block(part: str, section: Section) -> Block:
    if isinstance(part, Table):
        earlier = sum(block.grid is not None for block in section.blocks)
        return Block(grid=grid(part, section.title + (f" ({earlier + 1})" if earlier else "")))
    items = bullets(part)
    if items:
        return Block(items=[inline(item) for item in items])
    return Block(text=inline(part))
