"""A sentence on the cost of sparse networks compared to the dense network of the same setting."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from sparsebench.analysis.number_format import one, sentence_list, share
from sparsebench.analysis.report_data import CELL, groups

SETTING = ["machine", "contended", "setting"]

COSTS = (
    ("epoch_seconds", "the fastest sparse one takes {} of the time per epoch"),
    ("net_peak_bytes", "the smallest sparse one has {} of the net peak"),
)


def against_dense_sentence(frame: pd.DataFrame) -> str:
    """A sentence on the lowest mean cost of a sparse cell as a share of the lowest of a dense cell:
    the range of this share over the settings that have both. Empty if no setting has both."""
    parts = []
    for column, words in COSTS:
        if shares := sorted(_shares(frame, column)):
            ends = dict.fromkeys(share(one(end)) for end in (shares[0], shares[-1]))
            parts.append(words.format(" to ".join(ends)))
    first = "Beside the dense network of the same setting, "
    return f"{first}{sentence_list(parts)}." if parts else ""


def _shares(frame: pd.DataFrame, column: str) -> Iterator[float]:
    known = frame[frame[column] > 0]
    full = known["dense_connections"]
    sides = known[known["initial_connections"] < full], known[known["connections"] == full]
    sparse, dense = (
        {
            key: min(cell[column].mean() for _, cell in groups(part, CELL))
            for key, part in groups(side, SETTING)
        }
        for side in sides
    )
    yield from (sparse[key] / dense[key] for key in sparse.keys() & dense.keys())
