"""Trainers that score features without a network, for comparison, such as by chi-square.

Data, splits, judges, time and memory are handled as in any other selection. The trial's model,
topology, backend and epochs are not used.

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sparsebench.errors import Unsupported
from sparsebench_plugins.feature_selection.trainer import JUDGES, Count, Judges

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array
    from sparsebench.core.training.work import Result, Work


@dataclass(frozen=True)
class Scorer:
    """Base class of these trainers. Override `scores`.

    features  number of features that are selected
    judges    as in `feature-selection`
    """

    features: Count = 50
    judges: Judges = JUDGES

    computed_by: ClassVar[str] = ""

    def scores(self, X: Any, y: Array, seed: int) -> Array:
        """(features,) the score of each feature; higher is better.

        X (samples, features)  scaled, float32 or scipy's csr
        y (samples,)           classes 0, 1, ...
        """
        raise NotImplementedError

    def warm_up(self, work: Work) -> None:
        """Import the needed libraries, on a few artificial samples."""
        import numpy as np

        from sparsebench_plugins.feature_selection.judges import warm_up_judges

        warm_up_judges(self.judges)
        y = np.arange(40) % 2
        X = np.random.default_rng(0).random((40, 3), dtype=np.float32) + y[:, None].astype("f4")
        self.scores(X, y, 0)

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.feature_selection.ranking import rank_and_judge

        return rank_and_judge(self, work)


@dataclass(frozen=True)
class ChiSquare(Scorer):
    """Select the features with the largest chi-square statistic against the class, by
    scikit-learn's chi2.

    For features that are counts, flags, or scaled from 0 to 1: `scaling = "range"`, or "none".
    """

    computed_by: ClassVar[str] = "chi-square"

    def scores(self, X: Any, y: Array, seed: int) -> Array:
        import numpy as np
        from sklearn.feature_selection import chi2

        if X.min() < 0:
            raise Unsupported(
                "chi-square counts, so inputs may not be negative; set scaling = 'range'"
            )
        found, _ = chi2(X, y)
        scores: Array = np.nan_to_num(found, nan=-1.0)  # of a feature that is always 0
        return scores
