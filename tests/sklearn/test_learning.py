"""What the estimators promise beyond scikit-learn's own checks."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine, make_regression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import sparsebench
from sparsebench.sklearn import SparseAutoencoder, SparseMLPClassifier, SparseMLPRegressor

X, Y = load_digits(return_X_y=True)
X, Y = X[:400], Y[:400]
SETTINGS = {"hidden_layer_sizes": (40,), "max_iter": 6, "random_state": 0, "learning_rate": 0.01}


def classifier(**more):
    return SparseMLPClassifier(**{**SETTINGS, **more})


@pytest.fixture(scope="module")
def fitted():
    return classifier(max_iter=20).fit(X[:300], Y[:300])


def test_it_learns_and_is_sparse(fitted):
    assert fitted.score(X[300:], Y[300:]) > 0.85
    assert [W.shape for W in fitted.weights_] == [(40, 64), (10, 40)]
    assert sum(W.nnz for W in fitted.weights_) == round(0.2 * (40 * 64 + 10 * 40))
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0] / 2
    assert np.allclose(fitted.predict_proba(X).sum(axis=1), 1)


def test_csr_gives_what_arrays_give():
    """Scaled alike where nothing is centred."""
    dense = classifier(scaling="none").fit(X, Y).predict_proba(X)
    sparse = classifier(scaling="none").fit(csr_matrix(X), Y).predict_proba(csr_matrix(X))
    np.testing.assert_allclose(sparse, dense, atol=1e-4)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_trains_on_as_the_original_does(copied):
    """With connections, optimizer state and steps: to the last bit."""
    one = classifier(warm_start=True).fit(X, Y)
    other = copied(one)
    before = one.predict_proba(X)
    np.testing.assert_array_equal(other.predict_proba(X), before)
    after = [model.fit(X, Y).predict_proba(X) for model in (one, other)]
    np.testing.assert_array_equal(*after)
    assert np.abs(after[0] - before).max() > 0.01


def test_partial_fits_are_epochs():
    """Of a static topology on the same samples, `partial_fit` does what `fit` does."""
    settings = {"topology": "static", "n_iter_no_change": None}
    whole = classifier(**settings).fit(X, Y)
    parts = classifier(**settings)
    for _ in range(6):
        parts.partial_fit(X, Y, classes=np.unique(Y))
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-6)
    assert parts.n_iter_ == 6


def test_weights_of_1_change_nothing_and_of_0_leave_out():
    one = classifier().fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(
        classifier().fit(X, Y, np.ones(400)).predict_proba(X), one, atol=1e-4
    )
    few = classifier().fit(X[:300], Y[:300], np.ones(300)).predict_proba(X)
    zeros = np.r_[np.ones(300), np.zeros(100)]
    np.testing.assert_allclose(classifier().fit(X, Y, zeros).predict_proba(X), few, atol=1e-6)


def test_a_heavier_class_is_predicted_more_often():
    heavy = classifier(max_iter=3, class_weight={7: 50}).fit(X, Y)
    plain = classifier(max_iter=3).fit(X, Y)
    assert (heavy.predict(X) == 7).sum() > (plain.predict(X) == 7).sum() + 10


def test_early_stopping_returns_to_the_best_epoch():
    model = classifier(early_stopping=True, max_iter=30, n_iter_no_change=4, tol=0.0).fit(X, Y)
    scores = model.validation_scores_
    assert model.best_epoch_ == 1 + int(np.argmax(scores))
    assert len(scores) == min(30, model.best_epoch_ + 4)
    shorter = classifier(
        early_stopping=True, max_iter=30, n_iter_no_change=None, tol=0.0, topology="static"
    )
    assert len(shorter.fit(X, Y).validation_scores_) == 30


def test_a_file_holds_the_whole_estimator(tmp_path):
    names = np.array(["low", "mid", "high"], dtype=object)
    data = load_wine(as_frame=True)
    model = classifier(activation="srelu").fit(data.data, names[data.target])
    model.save(tmp_path / "model.npz")
    again = SparseMLPClassifier.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict_proba(data.data), model.predict_proba(data.data))
    assert again.classes_.tolist() == ["high", "low", "mid"]
    assert again.feature_names_in_[0] == "alcohol"
    assert again.get_params() == model.get_params()
    assert again.loss_curve_ == model.loss_curve_
    net = sparsebench.load_model(tmp_path / "model.npz")
    assert (net.predict(data.data.to_numpy()) == model.predict(data.data)).all()
    with pytest.raises(ValueError, match=r"holds a SparseMLPClassifier; expected a SparseMLPReg"):
        SparseMLPRegressor.load(tmp_path / "model.npz")
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match=r"other\.npz is not an exported model"):
        SparseMLPClassifier.load(tmp_path / "other.npz")


def test_regression_of_several_targets():
    inputs, targets = make_regression(200, 10, n_targets=3, random_state=0)
    settings = {**SETTINGS, "max_iter": 60, "density": 0.5}
    model = SparseMLPRegressor(**settings).fit(inputs[:150], 1000 + 50 * targets[:150])
    assert model.predict(inputs).shape == (200, 3)
    assert model.score(inputs[150:], 1000 + 50 * targets[150:]) > 0.8
    one = SparseMLPRegressor(**settings).fit(inputs, targets[:, 0])
    assert one.predict(inputs).shape == (200,)


def test_an_autoencoder_gives_codes_and_back():
    model = SparseAutoencoder((16,), "tanh", max_iter=60, learning_rate=0.01, random_state=0)
    codes = model.fit(X).transform(X)
    assert codes.shape == (400, 16)
    W, b = model.weights_[0], model.biases_[0]
    scaled = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), np.inf)
    np.testing.assert_allclose(codes, np.tanh(scaled @ W.T.toarray() + b), atol=1e-4)
    assert model.get_feature_names_out()[-1] == "sparseautoencoder15"
    assert model.score(X) > -0.6
    error = ((model.reconstruct(X) - X) ** 2).mean()
    assert error < 0.6 * X.var(axis=0).mean()


def test_it_is_searched_in_a_pipeline():
    pipeline = make_pipeline(MinMaxScaler(), classifier(max_iter=2))
    grid = {"sparsemlpclassifier__density": [0.05, 0.3]}
    search = GridSearchCV(clone(pipeline), grid, cv=2).fit(X, Y)
    assert set(search.best_params_.values()) <= {0.05, 0.3}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"topology": "sett"}, "topology.name: unknown topology 'sett'. Did you mean 'set'"),
        ({"topology": {"name": "set", "zeta": 2}}, "topology.zeta"),
        ({"density": 1.5}, "topology.density"),
        ({"batch_size": 0}, "batch_size=0; expected a whole number above 0"),
        ({"backend": "numpy"}, "backend.name: unknown backend 'numpy'"),
        ({"scaling": "log"}, "scaling = 'log' is not known"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_one_line(wrong, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")) as raised:
        classifier(**wrong).fit(X, Y)
    assert "\n" not in str(raised.value)


def test_a_method_as_a_sentence_and_a_loss_that_diverges():
    method = {"name": "set", "drop": "magnitude", "grow": "gradient", "epsilon": 3}
    assert classifier(topology=method).fit(X, Y).weights_[0].nnz == 3 * (64 + 40)
    with pytest.raises(FloatingPointError, match="no longer finite in epoch 1"):
        classifier(optimizer="sgd", learning_rate=1e30).fit(X, Y)
