"""Features selected by the inputs of a network, and how a selection is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from small import prepare, small_work
from sparsebench_plugins.datasets.permuted_copies import with_permuted_copies
from sparsebench_plugins.feature_selection.judges import columns, scores, unscaled
from sparsebench_plugins.topologies.neurofs import AGES

from sparsebench.analysis.chance import beats_chance
from sparsebench.core.data.samples import Parts
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.methods.view import NetworkView, State
from sparsebench.core.nn.input_scores import degrees, mean_gradients, samples_at_once, strengths
from sparsebench.core.protocols import LayerSignals
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.errors import Unsupported
from sparsebench.testing.fixtures import UniformWeights

SMALL = {"backend": "scipy-csr", "topology": {"name": "set", "epsilon": 8}}
INFORMATIVE = 3


def blobs(*, noise: int = 0, csr: bool = False) -> Parts:
    """Three of twelve features say the class, of three."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=300)
    X = rng.standard_normal((300, 12)).astype(np.float32)
    X[np.arange(300), y] += 4
    return Parts(csr_matrix(X) if csr else X, y, noise=noise)


def matrix(dense) -> CsrMatrix:
    """The connections of a matrix are what is not 0."""
    dense = np.asarray(dense, dtype=np.float32)
    return CsrMatrix(CsrPattern.from_keys(dense.shape, np.flatnonzero(dense)), dense[dense != 0])


def test_scores_of_inputs_by_hand():
    dense = np.array([[1.0, -2.0, 0.0], [0.5, 0.0, 4.0]])
    W = matrix(dense)
    assert strengths(W).tolist() == [1.5, 2, 4]
    assert degrees(W).tolist() == [2, 1, 1]
    DZ = np.array([[1.0, -1.0], [2.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(mean_gradients(W, DZ), np.abs(dense.T @ DZ).sum(axis=1))
    assert samples_at_once(2**30) == 1


@pytest.mark.parametrize("importance", ["strength", "connections", "attribution", "gradients"])
def test_informative_features_are_selected(build, importance):
    given = {"name": "feature-selection", "features": INFORMATIVE, "importance": importance}
    work = small_work(build, **SMALL, epochs=15, data=prepare(blobs(noise=9)))
    measures = build("trainer", given).run(work).measures
    assert measures["selected_features"] == INFORMATIVE
    assert measures["selected_noise"] <= (0.4 if importance == "connections" else 0)
    assert measures["test_accuracy"] > 0.8
    if importance != "connections":
        assert min(measures[f"{name}_accuracy"] for name in ("svm", "knn", "extra_trees")) > 0.8


def test_an_autoencoder_selects_without_labels_and_is_judged_with_them(build):
    """And by what WAST's growth has summed."""
    objective = build("objective", {"name": "reconstruction", "noise": 0.2})
    model = {"name": "autoencoder", "hidden": [20]}
    given = {**SMALL, "model": model, "objective": {"name": "reconstruction", "noise": 0.2}}
    for topology, importance in (("set", "strength"), ("wast", "neuron-importance")):
        given["topology"] = {"name": topology, "epsilon": 4}
        work = small_work(build, **given, data=prepare(blobs(), objective=objective), epochs=2)
        trainer = {"name": "feature-selection", "features": 6, "importance": importance}
        found = build("trainer", {**trainer, "judges": ["knn"]}).run(work).measures
        assert found["knn_accuracy"] > 0.3
        assert found["selected_noise"] is None
        assert "svm_accuracy" not in found


def test_the_columns_of_csr_are_those_of_arrays(build):
    chosen = np.array([7, 0, 3])
    found = [
        columns(prepare(blobs(csr=csr), scaling="none").train, chosen) for csr in (False, True)
    ]
    np.testing.assert_array_equal(*found)


def test_features_in_their_own_units_are_those_of_the_data():
    parts = blobs()
    chosen = np.array([7, 0, 3])
    data = prepare(parts)
    found = unscaled(data.inputs, columns(data.train, chosen), chosen)
    expected = parts.X_train[data.train.samples.rows][:, chosen]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_judge_without_scaling_weighs_features_by_their_spread(build):
    """Noise of 100 times the spread hides the informative features from a judge that sees it."""
    parts = blobs()
    parts.X_train[:, INFORMATIVE:] *= 100
    work = small_work(build, **SMALL, data=prepare(parts))
    given = {"name": "feature-selection", "features": 12, "judges": ["svm", "svm-unscaled"]}
    found = build("trainer", given).run(work).measures
    assert found["svm_accuracy"] > 0.8
    assert found["svm_unscaled_accuracy"] < 0.6


def test_the_balanced_error_is_the_mean_over_the_classes():
    """One of three of class 0 is missed, and one of one of class 1."""
    found = scores("svm", np.array([0, 0, 1, 0]), np.array([0, 0, 0, 1]))
    assert found == {
        "svm_accuracy": 0.5, "svm_balanced_error": pytest.approx((1 / 3 + 1) / 2),
    }  # fmt: skip


def test_numbers_are_no_classes(build):
    parts = blobs()
    objective = build("objective", "regression")
    data = prepare(replace(parts, y_train=parts.y_train + 0.5), objective=objective)
    work = small_work(build, **SMALL, objective="regression", data=data)
    with pytest.raises(Unsupported, match="the data has no classes"):
        build("trainer", "feature-selection").run(work)


def test_inputs_of_neurofs_close_by_strength_and_come_back_by_gradient(build):
    """Of 8 inputs 1 is closed and 1 has just come; int(0.5 * 8) - 1 = 3 are to be closed by now,
    and int(3 * 0.5 * 0.25) = 0 of the closed are exchanged; later it is 1."""
    weights = np.array([[0.0, 1, 9, 3, 4, 5, 6, 7], [0, 0, 9, 3, 0, 0, 6, 7]])
    given = {"name": "neurofs", "keep": 1, "zeta_inputs": 0.5, "removal": 0.75, "epsilon": 3}
    topology, state = build("topology", given), State()
    X, DZ = np.diag([7.0, 6, 5, 4, 3, 2, 1, 1]), np.ones((2, 8))

    def update(weights, step, ages):
        state.arrays[AGES, 0] = np.array(ages, dtype=np.int32)
        signals = [LayerSignals(*(one.astype(np.float32) for one in (X, DZ)))] * 2
        layers = [matrix(weights), matrix(np.ones((3, 2)))]
        view = NetworkView.of(layers, UniformWeights(), step, batch=signals, state=state)
        first, last = topology.layer_updates(view)
        assert last.change is None  # full, and stays so
        return layers[0].apply(first.change)

    after = update(weights, TrainingStep(8, 10, 75, 10, False), [-1, 0, 3, 3, 3, 3, 3, 3])
    # the two weakest are 1, which has just come and stays, and 4
    assert state.arrays[AGES, 0].tolist() == [-1, 1, 4, 4, -1, 4, 4, 4]
    assert not np.isin(after.indices, [0, 4]).any()
    assert after.nnz == 12 - 1  # the six open inputs had 11, and have room for 12
    weights[:, [0, 4, 5]] = 0
    update(weights, TrainingStep(2, 10, 20, 10, False), [-1, 3, 3, 3, -1, -1, 3, 3])
    # int(3 * 0.5 * 0.8) = 1 goes, the weakest; of the closed 0 has the largest gradient
    assert state.arrays[AGES, 0].tolist() == [0, -1, 4, 4, -1, -1, 4, 4]


@pytest.mark.parametrize("csr", [False, True])
def test_permuted_copies_are_known_noise(csr):
    """Each has the values of one feature, in the train part and in the test part; a feature may be
    copied more than once only where there are too few."""
    dense = np.random.default_rng(0).integers(0, 3, (40, 7)).astype(np.float32)
    X = csr_matrix(dense) if csr else dense
    y = np.arange(40) % 2
    parts = with_permuted_copies(Parts(X[:30], y[:30], X[30:], y[30:]), 7)
    data = prepare(parts, scaling="none")
    assert (data.features, data.noise, data.csr) == (14, 7, csr)
    for part, own in ((parts.X_train, dense[:30]), (parts.X_test, dense[30:])):
        found = part.toarray() if csr else part
        np.testing.assert_array_equal(found[:, :7], own)
        np.testing.assert_array_equal(np.sort(found[:, 7:], axis=0), np.sort(own, axis=0))
        assert (found[:, 7:] != own).any()
    assert with_permuted_copies(Parts(X, y), 9).X_train.shape == (40, 16)


def test_a_filter_is_judged_as_a_network_is(build):
    """chi-square counts: it takes inputs from 0 to 1, and no others."""
    trainer = build("trainer", {"name": "chi-square", "features": INFORMATIVE})
    data = prepare(blobs(noise=9), scaling="range")
    result = trainer.run(small_work(build, data=data))
    assert result.computed_by == "chi-square"
    assert result.measures["selected_noise"] == 0
    assert result.measures["svm_accuracy"] > 0.8
    with pytest.raises(Unsupported, match="inputs may not be negative"):
        trainer.run(small_work(build, data=prepare(blobs())))


def test_a_selection_without_a_network_beats_no_chance_and_fails_at_none():
    row = {"ok": True, "guess": 0.5, "test_samples": 90, "primary": "test_accuracy"}
    assert beats_chance(pd.DataFrame([{**row, "test_accuracy": float("nan")}])) is None
    assert beats_chance(pd.DataFrame([row])) is None
