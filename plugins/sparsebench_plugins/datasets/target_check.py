"""Looks for the name of the target's column in the start of a text table, before any trial runs."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from sparsebench.errors import DataError, nearest

TABLES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
"""Endings of text tables."""

START = 2**16
"""Bytes in which the header row is expected."""


def require_target(path: Path, target: str) -> None:
    """Raise DataError if the name occurs nowhere in the start of a text table.

    This finds misspelt names only: reading the table decides which column it is. A file that this
    cannot judge, such as a compressed one that is damaged, is left to the reader.
    """
    name = path.name.lower()
    if not name.removesuffix(".gz").endswith(TABLES):
        return
    try:
        with gzip.open(path) if name.endswith(".gz") else path.open("rb") as stream:
            start = stream.read(START)
    except (OSError, EOFError, zlib.error):
        return
    first, newline, _ = start.partition(b"\n")
    is_judged = target.isascii() and '"' not in target and b"\0" not in start and newline
    if is_judged and target.encode() not in start:
        text = first.decode("utf-8", "replace").strip("\ufeff\r\n")
        names = [one.strip().strip("\"'") for one in re.split("[,;\t]", text)]
        known = nearest(target, [one for one in names[:50] if one])
        raise DataError(f"{path}: no column {target!r} for the labels.{known}")
