"""The HTML that a notebook shows for an object: a title, facts, a table and notes.

Nothing is loaded from the network, and all text is escaped. Colours are those of the notebook, so
it is readable on light and dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment

from sparsebench.analysis.number_format import printable_lines

MOST_ROWS = 30

TEMPLATE = """
<div class="sparsebench" style="max-width:100%;overflow-x:auto">
<div><strong>{{ card.title }}</strong></div>
{% for fact in card.facts %}<div style="opacity:.85">{{ fact }}</div>
{% endfor %}{% if rows %}<table style="border-collapse:collapse;margin:.4em 0">
<thead><tr>{% for name in card.header %}<th style="{{ style(loop.index0) }};\
border-bottom:1px solid rgba(128,128,128,.7)">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr{% if row.bad %} class="bad"{% endif %}>\
{% for cell in row.cells %}<td style="{{ style(loop.index0) }};\
{% if row.bad %}font-weight:bold;{% if loop.first %}border-left:3px solid #d55e00;{% endif %}\
{% endif %}border-bottom:1px solid rgba(128,128,128,.25)">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
{% endif %}{% for note in notes %}<div style="opacity:.75">{{ note }}</div>
{% endfor %}{% if card.text %}<pre style="white-space:pre-wrap;opacity:.85">{{ card.text }}</pre>
{% endif %}</div>
"""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    bad  shown in bold, and first in a long table
    """

    cells: Sequence[str]
    bad: bool = False


@dataclass(frozen=True)
class Card:
    """What a notebook shows for an object: a title, lines of facts, a table, notes, and a text.

    left  number of leading columns with words, which are aligned to the left
    text  shown as it is, in a monospaced font
    """

    title: str
    facts: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Row] = ()
    left: int = 1
    notes: Sequence[str] = ()
    text: str = ""

    def html(self, where_more: str = "") -> str:
        """The card as HTML, with at most `MOST_ROWS` rows, bad ones first; a note says how many
        more there are, and `where_more` says where to see them."""
        rows, notes = list(self.rows), list(self.notes)
        if len(rows) > MOST_ROWS:
            rows = sorted(rows, key=lambda row: not row.bad)[:MOST_ROWS]
            more = f"{len(self.rows) - len(rows)} more rows"
            notes.insert(0, f"{more}: {where_more}" if where_more else more)
        return _TEMPLATE.render(card=self, rows=rows, notes=notes, style=self._style).strip()

    def _style(self, column: int) -> str:
        look = "left" if column < self.left else "right;white-space:nowrap"
        return f"text-align:{look};padding:.15em .6em"


_TEMPLATE = Environment(autoescape=True, finalize=printable_lines).from_string(TEMPLATE)
