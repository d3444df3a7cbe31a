"""Truly sparse networks as scikit-learn estimators.

from sparsebench.sklearn import SparseMLPClassifier
model = SparseMLPClassifier(topology="set", density=0.1).fit(X, y)
"""

from __future__ import annotations

from sparsebench.sklearn.estimators import (
    SparseAutoencoder,
    SparseMLPClassifier,
    SparseMLPRegressor,
)
from sparsebench.sklearn.feature_selection import SparseFeatureSelector

__all__ = [
    "SparseAutoencoder",
    "SparseFeatureSelector",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
]
