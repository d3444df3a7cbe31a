"""Histograms of degrees with fixed edges, so that epochs and trials can be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.observer import MOST_BINS

Ints = npt.NDArray[Any]

EXACT = 8
"""Degrees below have a bin each; above, each doubling has four bins."""


def degree_histogram(degrees: Ints) -> Ints:
    """The number of degrees in each bin, up to the last bin that is not empty.

    Bin b holds degrees from bin_edges()[b] to below bin_edges()[b + 1]; the last of the 64 bins
    has no upper end. A bin above 8 is at most a quarter as wide as its lower edge.
    """
    found = np.searchsorted(bin_edges(), degrees, side="right") - 1
    return np.bincount(found)


def bin_edges() -> Ints:
    """(64,) The lower edges: 0, 1, ..., 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, ..., 114688."""
    octave, quarter = np.divmod(np.arange(MOST_BINS - EXACT), 4)
    return np.concatenate([np.arange(EXACT), (4 + quarter) << (octave + 1)])
