"""Known features are found, by each score, and gradients are those of finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import make_classification

from sparsebench.sklearn import SparseAutoencoder, SparseFeatureSelector, SparseMLPClassifier

SETTINGS = {"hidden_layer_sizes": (40,), "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """The first 5 of 60 features say the class."""
    return make_classification(
        300, 60, n_informative=5, n_redundant=0, n_classes=3, n_clusters_per_class=1,
        class_sep=2.0, shuffle=False, random_state=0,
    )  # fmt: skip


@pytest.mark.parametrize("importance", ["strength", "attribution"])
def test_informative_features_are_found(data, importance):
    X, y = data
    network = SparseMLPClassifier(**SETTINGS, max_iter=40, topology={"name": "set", "density": 0.2})
    selector = SparseFeatureSelector(network, importance=importance, n_features_to_select=5).fit(
        X, y
    )
    assert selector.get_support(indices=True).size == 5
    assert np.isin(selector.get_support(indices=True), np.arange(5)).sum() >= 4
    assert selector.transform(X).shape == (300, 5)


def test_the_number_of_connections_is_that_of_the_first_layer(data):
    X, y = data
    network = SparseMLPClassifier(**SETTINGS, max_iter=3)
    selector = SparseFeatureSelector(network, importance="connections", n_features_to_select=0.1)
    selector.fit(csr_matrix(X), y)
    W = selector.estimator_.weights_[0]
    np.testing.assert_array_equal(selector.scores_, (W.toarray() != 0).sum(axis=0))
    assert selector.support_.sum() == 6
    assert (np.diff(selector.scores_[selector.ranking_]) <= 0).all()


def test_attribution_is_what_finite_differences_give(data):
    """Of float32 outputs, with tanh: no kinks."""
    X, y = data
    network = SparseMLPClassifier(**SETTINGS, activation="tanh", max_iter=5).fit(X, y)
    learner = network.learner_
    found = learner.attribution(X, 20)
    scale = 1 / learner.inputs.scale[:, 0]
    expected = np.zeros(60)
    for feature in range(60):
        moved = X[:20].copy()
        moved[:, feature] += 0.01 * scale[feature]
        back = X[:20].copy()
        back[:, feature] -= 0.01 * scale[feature]
        slopes = (learner.outputs_for(moved) - learner.outputs_for(back)) / 0.02
        expected[feature] = np.abs(slopes).mean(axis=0).sum()
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=1e-4)


def test_without_labels_an_autoencoder_chooses(data):
    X = data[0]
    network = SparseAutoencoder((20,), max_iter=3, noise=0.2, random_state=0)
    selector = SparseFeatureSelector(network, n_features_to_select=7).fit(X)
    assert selector.support_.sum() == 7
    assert selector.get_feature_names_out().size == 7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_features_to_select": 61}, "expected 1 to 60 features"),
        ({"n_features_to_select": 1.5}, "a share of them above 0 and up to 1"),
        ({"importance": "size"}, "expected 'strength', 'connections' or 'attribution'"),
        (
            {"importance": "attribution", "estimator": SparseAutoencoder((5,))},
            "not for autoencoders",
        ),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_one_line(data, wrong, message):
    settings = {"estimator": SparseMLPClassifier(**SETTINGS, max_iter=1), **wrong}
    with pytest.raises(ValueError, match=message):
        SparseFeatureSelector(**settings).fit(*data)
