"""scikit-learn's own checks of estimators."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparsebench.sklearn import (
    SparseAutoencoder,
    SparseFeatureSelector,
    SparseMLPClassifier,
    SparseMLPRegressor,
)

WEIGHTS = "batches are drawn by sample, so a sample of weight 2 is not two samples"

EXPECTED = {
    SparseMLPClassifier: {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
        "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
    },
    SparseMLPRegressor: {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
        "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
    },
}
SETTINGS = {"hidden_layer_sizes": (20,), "max_iter": 8, "learning_rate": 0.02, "random_state": 0}


ESTIMATORS = [
    cls(**SETTINGS) for cls in (SparseMLPClassifier, SparseMLPRegressor, SparseAutoencoder)
]


@pytest.mark.filterwarnings("default")
@parametrize_with_checks(
    [*ESTIMATORS, SparseFeatureSelector(SparseMLPClassifier(**SETTINGS))],
    expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator), {}),
)
def test_as_scikit_learn_expects(estimator, check):
    check(estimator)
