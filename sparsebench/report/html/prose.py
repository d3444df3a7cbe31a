"""The report's own markdown as HTML: what `analysis.formats` writes, and no more."""

from __future__ import annotations

import re
from html import unescape

from markupsafe import Markup, escape

TOKENS = re.compile(r"\\(?P<plain>[\\|*`\[\]<>~])|`(?P<code>[^`]*)`|(?P<bold>\*\*)|&amp;")


def inline(text: str) -> Markup:
    """Bold, code spans and escaped characters of one line; all else is text."""
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
    """What a reader sees of a line, without its looks."""
    return unescape(str(inline(text).striptags()))


def bullets(text: str) -> list[str]:
    """The items of a list; empty if the text is none."""
    lines = text.splitlines()
    if not lines or not all(line.startswith("- ") for line in lines):
        return []
    return [line.removeprefix("- ") for line in lines]
