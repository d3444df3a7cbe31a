"""Parts of a frame of trials, and how those of a part ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from sparsebench.analysis.formats import escape


def groups(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Parts of a frame with equal labels, the first label outermost, each in order of
    appearance."""
    for head, part in frame.groupby(by[0], sort=False):
        if len(by) == 1:
            yield head, part
        for tail, sub in groups(part, by[1:]) if len(by) > 1 else ():
            yield (head, *(tail if len(by) > 2 else (tail,))), sub


def outcome(part: pd.DataFrame) -> str:
    """How the trials of a cell that gave no number ended: `2 timeout`; empty if all are ok."""
    bad = part.loc[~part["ok"], "status"].value_counts(sort=False)
    return ", ".join(f"{n} {escape(status)}" for status, n in bad.items())
