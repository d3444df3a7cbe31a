"""The strength of each input in trained networks: the magnitude of its weights in the first
layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsebench.analysis.kept_networks import MOST_NEURONS, read_networks
from sparsebench.analysis.report_data import ReportData
from sparsebench.core.archive import Archive, BadArchive
from sparsebench.core.arrays import Array
from sparsebench.errors import printable


@dataclass(frozen=True)
class InputStrengths:
    """The strengths of the inputs, averaged over networks.

    networks  number of networks
    names     names of the inputs, the strongest first
    shares    the sum of the magnitudes of an input's weights, as a share of the sum for all inputs.
              QuickSelection (Atashgahi et al. 2022, arXiv 2012.00560)
    """

    networks: int
    names: Sequence[str]
    shares: Array

    def __len__(self) -> int:
        return len(self.names)


def input_strengths(seen: ReportData, trials: pd.DataFrame) -> InputStrengths | None:
    """The input strengths of the stored networks of these rows; None if no network was stored.
    Networks with another number of inputs than the first are left out."""
    found: list[Array] = []
    names: Array | None = None
    for strength, known in read_networks(seen, trials.index, _strength_and_names, []):
        names = known if names is None else names
        if not found or strength.size == found[0].size:
            found.append(strength / max(float(strength.sum()), 1e-30))
    if not found:
        return None
    shares: Array = np.mean(found, axis=0)
    order = np.argsort(-shares, kind="stable")
    if names is None or len(names) != shares.size:
        names = np.array([f"feature {number}" for number in range(shares.size)])
    called = [printable(str(names[one])) for one in order]
    return InputStrengths(len(found), called, shares[order])


def _strength_and_names(archive: Archive) -> tuple[Array, Array | None]:
    try:
        return _strength(archive), archive["inputs"] if "inputs" in set(archive) else None
    except (KeyError, ValueError) as error:  # a damaged file
        raise BadArchive(str(error)) from None


def _strength(archive: Archive) -> Array:
    from sparsebench.core.nn.input_scores import strengths
    from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern

    K, D = (int(size) for size in archive["W1.shape"])
    if not 0 < D <= MOST_NEURONS:
        raise BadArchive(f"its first layer cannot have {D} inputs")
    pattern = CsrPattern((K, D), archive["W1.indptr"], archive["W1.indices"])
    W = CsrMatrix(pattern, archive["W1.data"])
    W.validate()
    return strengths(W)
