"""Prints the blocks of a section as GitHub-flavoured markdown: a paragraph, a list, a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from sparsebench.report.document import Block, Bold, Bullets, Chart, Code, Table, Text, parts


def printed(block: Block | None, pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """The markdown of a block: a paragraph, a list, a table or a picture; empty for None.

    pictures  name of a chart -> the link to its picture
    """
    if isinstance(block, Chart):
        words = inline(" ".join([block.caption, *block.notes]))
        return f"![{inline(block.title)}]({pictures[block.name]})\n\n{words}"
    if isinstance(block, Bullets):
        return "\n".join(f"- {inline(item)}" for item in block.items)
    if not isinstance(block, Table):
        return inline(block or "")
    marks = ["---" if i < block.left else "---:" for i in range(len(block.header))]
    lines = [map(inline, block.header), marks]
    lines += [[inline(cell.text) for cell in row] for row in block.cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def inline(text: Text) -> str:
    """A text as one line of markdown, in which everything but its bold and code parts is
    escaped."""
    shown = []
    for part in parts(text):
        if isinstance(part, Code):
            shown.append("`{}`".format(part.replace("`", "'").replace("|", "\\|")))
        else:
            plain = re.sub(r"([\\|*`\[\]<>~])", r"\\\1", part).replace("&", "&amp;")
            shown.append(f"**{plain}**" if isinstance(part, Bold) else plain)
    return "".join(shown)
