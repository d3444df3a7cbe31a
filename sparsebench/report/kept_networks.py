"""The trained networks that were kept beside the records, for charts of their topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.core.archive import Archive, BadArchive

FILE = "model.npz"
"""In the folder of an attempt that kept its network."""

MOST_NEURONS = 2**27
"""Of a layer: bounds the memory that the report takes for a damaged file."""

T = TypeVar("T")


def kept_networks(
    evidence: Evidence, read: Callable[[Archive], T], unread: list[str]
) -> Iterator[tuple[str, str, T]]:
    """Setting, topology, and what `read` makes of the network of the first trial that has one.

    unread  gets a line for each file that raises BadArchive
    """
    for (setting, topology), part in groups(evidence.ok, CELL[:2]):
        for i in part.sort_values("seed", kind="stable").index:
            at = int(str(i))
            file = evidence.runs[at].folder(evidence.records[at]) / FILE
            if not file.is_file():
                continue
            try:
                archive = Archive(file)
                found = read(archive)
                archive.close()
            except BadArchive as error:
                unread.append(str(error))
                continue
            yield str(setting), str(topology), found
            break
