"""Reads the trained networks that are stored with the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from sparsebench.analysis.report_data import CELL, ReportData, groups
from sparsebench.core.archive import Archive, BadArchive
from sparsebench.core.job import MODEL

MOST_NEURONS = 2**27
"""The most neurons of a layer that is read; bounds the memory that a damaged file can take."""

T = TypeVar("T")


def read_networks(
    report_data: ReportData, rows: Iterable[object], read: Callable[[Archive], T], unread: list[str]
) -> Iterator[T]:
    """Apply `read` to the stored network of each of these rows that has one, and yield the results.

    rows    index labels of `report_data.frame`
    unread  receives a line for each file that raises BadArchive
    """
    for row in rows:
        at = int(str(row))
        file = report_data.runs[at].folder(report_data.records[at]) / MODEL
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


def read_first_networks(
    report_data: ReportData, read: Callable[[Archive], T], unread: list[str]
) -> Iterator[tuple[str, str, T]]:
    """For each setting and topology, the result of `read` on the network of the first seed that
    stored one."""
    for (setting, topology), part in groups(report_data.ok, CELL[:2]):
        rows = part.sort_values("seed", kind="stable").index
        for found in read_networks(report_data, rows, read, unread):
            yield str(setting), str(topology), found
            break


def most_frequent_setting(settings: Sequence[str]) -> tuple[str, list[str]]:
    """The most frequent setting, the first one of equally frequent ones; and a list with a note
    that names it, empty if the setting has no words.

    settings  the setting of each item that could be shown, at least one
    """
    setting = max(dict.fromkeys(settings), key=settings.count)
    several = len(set(settings))
    of = f", the first of {several} with the most to show" if several > 1 else ""
    return setting, [f"Setting: {setting}{of}."] if setting else []
