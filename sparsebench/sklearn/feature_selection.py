"""Feature selection by the first layer of a sparse network, or by its gradients."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsebench.core.arrays import Array, Mask
from sparsebench.sklearn.base import SparseNetwork
from sparsebench.sklearn.estimators import SparseAutoencoder, SparseMLPClassifier
from sparsebench.sklearn.learner import Learner

SAMPLES = 1000
"""The most samples whose gradients are used after each epoch, for importance "attribution"."""


class SparseFeatureSelector(SelectorMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Keep the features that a truly sparse network relies on.

    estimator  an estimator of this package, which is cloned and fitted; None: a classifier if y is
               given, else an autoencoder with noise on its inputs, which is QuickSelection
    importance strength: sum of the magnitudes of an input's weights (QuickSelection, Atashgahi et
               al. 2022, arXiv 2012.00560)
               connections: number of an input's connections
               attribution: sum over the outputs of the mean |gradient| with respect to the scaled
               input, added up over the epochs (Attr, arXiv 2408.04583). Deviation: uses only the
               first 1,000 samples, after each epoch instead of each step. Not for autoencoders,
               because it takes a backward pass per output.
    n_features_to_select  a whole number of features, or a float as a share of them; None: half

    estimator_  the fitted network
    scores_     (features,) the score of each feature; higher is better
    support_    (features,) True for selected features
    ranking_    (features,) indices of the features by descending score
    """

    def __init__(
        self,
        estimator: SparseNetwork | None = None,
        *,
        importance: Literal["strength", "connections", "attribution"] = "strength",
        n_features_to_select: float | None = None,
    ) -> None:
        self.estimator = estimator
        self.importance = importance
        self.n_features_to_select = n_features_to_select

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Train the network on X (samples, features), and score its inputs. fit_params are passed
        to the network's `fit`."""
        sparse = not isinstance(self.estimator, SparseAutoencoder)
        X = validate_data(self, X, accept_sparse="csr" if sparse else False)
        estimator = self._estimator(y)
        if self.importance not in ("strength", "connections", "attribution"):
            raise ValueError(
                f"importance={self.importance!r}; expected 'strength', 'connections' or "
                "'attribution'"
            )
        count, attributed = self._count(X.shape[1]), np.zeros(X.shape[1])
        if self.importance == "attribution":
            if isinstance(estimator, SparseAutoencoder):
                raise ValueError("importance='attribution' is not for autoencoders; use 'strength'")

            def add(learner: Learner) -> None:
                attributed[...] += learner.attribution(X, SAMPLES)

            estimator._after_epoch = add
        self.estimator_ = estimator.fit(X, y, **fit_params)
        estimator._after_epoch = None
        first = self.estimator_.weights_[0]
        scores: Array = attributed
        if self.importance == "strength":
            scores = np.bincount(first.indices, np.abs(first.data), X.shape[1])
        elif self.importance == "connections":
            scores = np.bincount(first.indices, minlength=X.shape[1]).astype(np.float64)
        self.scores_ = scores
        self.ranking_ = np.argsort(-scores, kind="stable")
        self.support_ = np.zeros(X.shape[1], dtype=bool)
        self.support_[self.ranking_[:count]] = True
        return self

    def _estimator(self, y: Any) -> SparseNetwork:
        if self.estimator is not None:
            cloned: SparseNetwork = clone(self.estimator)
            return cloned
        if y is None:
            return SparseAutoencoder((1000,), noise=0.2, topology={"name": "set", "epsilon": 13})
        return SparseMLPClassifier()

    def _count(self, features: int) -> int:
        wanted = self.n_features_to_select
        if wanted is None:
            return max(1, features // 2)
        if isinstance(wanted, Integral) and 1 <= wanted <= features:
            return int(wanted)
        if not isinstance(wanted, Integral) and 0 < wanted <= 1:
            return max(1, int(wanted * features))
        raise ValueError(
            f"n_features_to_select={wanted!r}; expected 1 to {features} features, or a share of "
            "them above 0 and up to 1"
        )

    def _get_support_mask(self) -> Mask:
        check_is_fitted(self, "support_")
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = not isinstance(self.estimator, SparseAutoencoder)
        tags.target_tags.required = False
        return tags
