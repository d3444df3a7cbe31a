"""The printer of GitHub-flavoured markdown: a paragraph, a list, a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from sparsebench.report.document import Block, Bold, Bullets, Chart, Code, Table, Text, parts


def printed(block: Block | None, pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """A paragraph, a list, a GitHub table or a picture; empty for nothing.

    pictures  the target of each chart's picture, by its name
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
    """A text as one line in which nothing is markdown or HTML but its bold and code parts."""
    shown = []
    for part in parts(text):
        if isinstance(part, Code):
            shown.append("`{}`".format(part.replace("`", "'").replace("|", "\\|")))
        else:
            plain = re.sub(r"([\\|*`\[\]<>~])", r"\\\1", part).replace("&", "&amp;")
            shown.append(f"**{plain}**" if isinstance(part, Bold) else plain)
    return "".join(shown)
