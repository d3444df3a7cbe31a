"""Trainers that score features without a network of this project.

Data, splits, judges, time and memory are those of any other selection. The trial's model,
topology, backend and epochs say nothing here.

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
    """Override `scores`.

    features  how many are selected
    judges    as of `feature-selection`
    """

    features: Count = 50
    judges: Judges = JUDGES

    computed_by: ClassVar[str] = ""

    def scores(self, X: Any, y: Array, seed: int) -> Array:
        """(features,) the larger the better.

        X (samples, features)  scaled, float32, or scipy's csr;  y (samples,)  0, 1, ...
        """
        raise NotImplementedError

    def warm_up(self, work: Work) -> None:
        """Import what is needed, on a few made-up samples."""
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
    """The features with the largest chi-square statistic with the class: scikit-learn's chi2.

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
