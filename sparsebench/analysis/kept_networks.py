"""The trained networks that were kept beside the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.core.archive import Archive, BadArchive
from sparsebench.core.job import MODEL

MOST_NEURONS = 2**27
"""Of a layer: bounds the memory that is taken for a damaged file."""

T = TypeVar("T")


def kept_of(
    evidence: Evidence, rows: Iterable[object], read: Callable[[Archive], T], unread: list[str]
) -> Iterator[T]:
    """What `read` makes of the network of each of these rows that kept one.

    unread  gets a line for each file that raises BadArchive
    """
    for row in rows:
        at = int(str(row))
        file = evidence.runs[at].folder(evidence.records[at]) / MODEL
        if not file.is_file():
            continue
        try:
            archive = Archive(file)
            found = read(archive)
            archive.close()
        except BadArchive as error:
            unread.append(str(error))
            continue
        yield found


def first_kept(
    evidence: Evidence, read: Callable[[Archive], T], unread: list[str]
) -> Iterator[tuple[str, str, T]]:
    """Setting, topology, and what `read` makes of the network of the first seed that kept one."""
    for (setting, topology), part in groups(evidence.ok, CELL[:2]):
        rows = part.sort_values("seed", kind="stable").index
        for found in kept_of(evidence, rows, read, unread):
            yield str(setting), str(topology), found
            break


def fullest_setting(settings: Sequence[str]) -> tuple[str, list[str]]:
    """The setting that most entries have, the first of several, and a note that names it.

    settings  one or more, that of each thing to be shown
    """
    setting = max(dict.fromkeys(settings), key=settings.count)
    several = len(set(settings))
    of = f", the first of {several} with the most to show" if several > 1 else ""
    return setting, [f"Setting: {setting}{of}."] if setting else []
