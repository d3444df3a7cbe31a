"""Targets, scores and noise of the built-in objectives, in worked numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small import prepare
from sparsebench_plugins.objectives.reconstruction import NormalNoise
from sparsebench_plugins.objectives.scores import Errors, Labelling

from sparsebench.core.data.samples import Parts
from sparsebench.core.training.chance_level import guess_scores
from sparsebench.errors import DataError, SuiteError

X = np.arange(24, dtype=np.float32).reshape(8, 3)
ROWS = np.arange(4)


# --- scores --------------------------------------------------------------------------


def test_errors_of_one_output():
    """Targets 0, 2, 4 and outputs 1, 2, 2: errors 1, 0, -2; mean square 5/3; the targets' own
    scatter is 8, so R2 = 1 - 5/8; a spread of 10 makes all of it ten times as large but R2."""
    score = Errors(np.array([10.0]))
    score.add(np.array([[1.0, 2.0]]), np.array([[0.0, 2.0]]))
    score.add(np.array([[2.0]]), np.array([[4.0]]))
    found = score.values()
    assert found["mse"] == pytest.approx(500 / 3)
    assert found["rmse"] == pytest.approx(10 * math.sqrt(5 / 3))
    assert found["mae"] == pytest.approx(10)
    assert found["r2"] == pytest.approx(1 - 5 / 8)


def test_r2_leaves_out_outputs_whose_targets_are_all_alike():
    score = Errors(np.ones(2))
    score.add(np.array([[0.0, 1.0], [3.0, 3.0]]), np.array([[0.0, 2.0], [7.0, 7.0]]))
    assert score.values()["r2"] == pytest.approx(0.5)
    alike = Errors(np.ones(1))
    alike.add(np.ones((1, 3)), np.full((1, 3), 0.1))
    assert math.isnan(alike.values()["r2"])


def test_r2_keeps_its_digits_far_from_zero():
    score = Errors(np.ones(1))
    T = 1e6 + np.array([[0.0, 2.0, 4.0]])
    score.add(T + np.array([[1.0, 0.0, -2.0]]), T)
    assert score.values()["r2"] == pytest.approx(1 - 5 / 8)


def test_f1_and_flags():
    """Predicted {1, 2}, {}; present {1}, {2}: 1 of 2 + 2; right are 2 of 4."""
    score = Labelling()
    score.add(np.array([[1.0, -1.0], [0.5, -2.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert score.values() == {"f1": 0.5, "flags": 0.5}


# --- targets -------------------------------------------------------------------------


def test_regression_standardises_on_the_training_part_and_predicts_in_own_units(build):
    y, y_test = np.array([10.0, 30.0] * 4), np.array([50.0, 10.0])
    data = prepare(Parts(X, y, X[:2], y_test), objective=build("objective", "regression"))
    assert data.outputs == 1
    assert data.train.batch(ROWS)[1].tolist() == [[-1.0, 1.0, -1.0, 1.0]]
    assert data.test.batch(np.arange(2))[1].tolist() == [[3.0, -1.0]]
    assert data.targets.predict(np.array([[0.0, 2.0]])).tolist() == [20.0, 40.0]


def test_rows_held_out_do_not_enter_the_scale_of_the_targets(build):
    y = np.arange(8.0)
    data = prepare(Parts(X, y, X, y), objective=build("objective", "regression"), validation=0.5)
    T = data.train.batch(ROWS)[1]
    assert abs(T.mean()) < 1e-6
    assert T.std() == pytest.approx(1, rel=1e-6)


def test_a_target_that_never_changes_is_not_divided_by_zero(build):
    data = prepare(
        Parts(X, np.full(8, 0.1), X, np.ones(8)), objective=build("objective", "regression")
    )
    assert not data.train.batch(ROWS)[1].any()
    assert data.test.batch(ROWS)[1] == pytest.approx(np.full((1, 4), 0.9))


def test_dense_output_has_a_row_per_target(build):
    y = np.stack([np.arange(8.0), 5 - np.arange(8.0)], axis=1)
    data = prepare(Parts(X, y, X, y), objective=build("objective", "dense-output"))
    T = data.train.batch(ROWS)[1]
    assert T.shape == (2, 4)
    assert T.flags.c_contiguous
    assert T[0] == pytest.approx(-T[1])
    assert data.targets.predict(T)[:, 1] == pytest.approx(y[:4, 1])


def test_flags_are_learnt_as_they_are(build):
    y = np.array([[0, 1, 1], [1, 0, 0]] * 4)
    objective = build("objective", {"name": "dense-output", "loss": "binary-cross-entropy"})
    data = prepare(Parts(X, y, X, y), objective=objective)
    assert data.train.batch(np.arange(2))[1].tolist() == [[0, 1], [1, 0], [1, 0]]
    assert data.targets.predict(np.array([[2.0], [-1.0], [0.0]])).tolist() == [[True, False, False]]


def test_reconstruction_gives_back_the_scaled_inputs_in_the_datas_units(build):
    y = np.array(["a", "b"] * 4)
    data = prepare(Parts(X, y, X, y), objective=build("objective", "reconstruction"))
    inputs, T = data.train.batch(ROWS)
    assert data.outputs == 3
    assert np.array_equal(inputs, T)
    assert data.targets.predict(T) == pytest.approx(X[:4], rel=1e-5)


# --- noise ---------------------------------------------------------------------------


def test_noise_is_on_the_training_inputs_only_and_targets_are_clean(build):
    rng = np.random.default_rng(0)
    large, y = rng.standard_normal((500, 40)).astype(np.float32), np.arange(500) % 2
    objective = build("objective", {"name": "reconstruction", "noise": 0.2})
    data = prepare(Parts(large, y), objective=objective, validation=0.2)
    assert data.validation is not None
    rows = np.arange(200)
    noisy, clean = data.train.batch(rows, 1)
    assert np.array_equal(clean, data.train.samples.batch(rows))
    noise = noisy - clean
    assert noise.std() == pytest.approx(0.2, rel=0.05)
    assert abs(noise.mean()) < 0.01
    for part in (data.test, data.validation):
        X, T = part.batch(np.arange(9))
        assert np.array_equal(X, T)


def test_noise_stays_with_a_sample_unless_it_is_fresh():
    X, rows = np.zeros((7, 3), np.float32), np.array([4, 0, 9])
    for fresh in (False, True):
        noise = NormalNoise(1.0, seed=3, fresh=fresh)
        first, second = noise.corrupted(X, rows, 1), noise.corrupted(X, rows, 2)
        assert np.array_equal(first, second) == (not fresh)
        assert np.array_equal(noise.corrupted(X, rows, 1), first)
        assert not np.array_equal(first[:, 0], first[:, 1])
    other = NormalNoise(1.0, seed=4, fresh=False).corrupted(X, rows, 1)
    assert not np.array_equal(other, NormalNoise(1.0, seed=3, fresh=False).corrupted(X, rows, 1))


def test_a_part_of_the_samples_has_the_noise_that_they_have_in_the_whole(build):
    """Workers of a parallel trainer see what a single process sees."""
    objective = build("objective", {"name": "reconstruction", "noise": 0.5})
    data = prepare(Parts(X, np.arange(8) % 2, X, np.arange(8) % 2), objective=objective)
    part = data.train.part(np.array([5, 2, 7])).part(np.array([2, 0]))
    whole = data.train.batch(np.array([7, 5]), 1)
    for mine, theirs in zip(part.batch(np.arange(2), 1), whole):
        assert np.array_equal(mine, theirs)


# --- what does not fit ---------------------------------------------------------------

LABELS, NUMBERS = np.array([0, 1] * 4), np.arange(8.0) + 0.5
WRONG = {
    "numbers as classes": ("classification", Parts(X, NUMBERS), 'set objective = "regression"'),
    "declared numbers": (
        "classification",
        Parts(X, np.arange(8.0), kind="numbers"),
        'has numbers as targets, not labels: to learn numbers, set objective = "regression"',
    ),
    "vectors as classes": ("classification", Parts(X, X), 'set objective = "dense-output"'),
    "labels as numbers": (
        "regression",
        Parts(X, LABELS, kind="labels"),
        'set objective = "classification"',
    ),
    "text as numbers": ("regression", Parts(X, LABELS.astype(str)), "expected numbers"),
    "vectors as numbers": ("regression", Parts(X, X), 'set objective = "dense-output"'),
    "nan": ("regression", Parts(X, np.where(NUMBERS > 5, np.nan, NUMBERS)), "nan at row 5"),
    "one number": ("dense-output", Parts(X, NUMBERS), 'set objective = "regression"'),
    "other width": ("dense-output", Parts(X, X, X, X[:, :2]), "2 targets a sample, and 3"),
    "no flags": (
        {"name": "dense-output", "loss": "binary-cross-entropy"},
        Parts(X, X),
        r"y has 2.0 at row 0, column 2; expected 0 or 1",
    ),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_targets_that_do_not_fit_are_refused_in_one_line(build, what):
    name, parts, message = WRONG[what]
    with pytest.raises(DataError, match=message) as caught:
        prepare(parts, objective=build("objective", name))
    assert str(caught.value).startswith("data: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "loss"),
    [("classification", "squared-error"), ("regression", "mse"), ("dense-output", "cross-entropy")],
)
def test_a_loss_that_compares_with_something_else_is_refused(build, name, loss):
    objective = build("objective", {"name": name, "loss": loss})
    with pytest.raises(SuiteError, match="does not compare with"):
        objective.loss_with(None)


# --- chance ----------------------------------------------------------------------------


def test_the_best_guess_that_looks_at_no_sample(build):
    """The class of most training samples; the mean of the training targets; nothing else."""
    y, targets = np.array([0, 1, 1, 2, 1, 0, 1, 2]), np.array([1, 0, 1, 2])
    data = prepare(Parts(X, y, X[:4], targets), objective=build("objective", "classification"))
    assert guess_scores(data) == {"accuracy": 0.5}
    data = prepare(
        Parts(X, y * 1.0, X[:4], np.array([1.0, 3.0, 1.0, 3.0])),
        objective=build("objective", "regression"),
    )
    assert guess_scores(data)["rmse"] == pytest.approx(math.sqrt(2))
    assert guess_scores(prepare(Parts(X, y), objective=build("objective", "reconstruction"))) == {}
