"""Estimators of scikit-learn as trials: scored as networks are, on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from small import prepare, small_work

from sparsebench.core.data.samples import Parts
from sparsebench.errors import Unsupported

rng = np.random.default_rng(0)
WORDS = np.array(["ALL", "AML", "CLL"])[np.arange(90) % 3]
X = rng.standard_normal((90, 8)) + 2 * np.eye(3, 8)[np.arange(90) % 3]


def run(build, name, parts, objective="classification"):
    data = prepare(parts, objective=build("objective", objective), fold="1/3")
    work = small_work(build, backend="scipy-csr", objective=objective, data=data)
    few = {"iterations": 20} if name == "gradient-boosting" else {}
    trainer = build("trainer", {"name": name, **few})
    trainer.warm_up(work)
    return trainer.run(work), data


@pytest.mark.parametrize("name", ["logistic-regression", "gradient-boosting"])
def test_labels_are_scored_as_those_of_a_network(build, name):
    result, data = run(build, name, Parts(X, WORDS))
    measures = result.measures
    assert measures["test_accuracy"] > 0.6
    assert 0 < measures["train_loss"] < measures["test_loss"]
    assert measures["train_samples"] == len(data.train) == 60
    assert min(measures[f"{part}_seconds"] for part in ("train", "data", "eval")) > 0
    assert result.computed_by == "scikit-learn"


@pytest.mark.parametrize("name", ["ridge-regression", "gradient-boosting"])
def test_numbers_are_scored_in_their_own_units(build, name):
    y = 100 + 50 * X[:, 0]
    result, _ = run(build, name, Parts(X, y), "regression")
    assert result.measures["test_rmse"] < np.std(y)


def test_csr_inputs_stay_csr_where_the_estimator_takes_them(build):
    csr = Parts(sparse.csr_matrix(np.maximum(X, 0)), WORDS)
    assert run(build, "logistic-regression", csr)[0].measures["test_accuracy"] > 0.6
    with pytest.raises(Unsupported, match="dense"):
        run(build, "gradient-boosting", csr)


def test_targets_of_another_kind_are_refused(build):
    with pytest.raises(Unsupported, match="for labels: logistic-regression"):
        run(build, "ridge-regression", Parts(X, WORDS))
    with pytest.raises(Unsupported, match="for numbers: ridge-regression"):
        run(build, "logistic-regression", Parts(X, X[:, 0]), "regression")
