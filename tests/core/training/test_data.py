from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import prepare

from sparsebench.core.data import feature_scaling
from sparsebench.core.data.samples import Parts
from sparsebench.core.data.splits import folds_of, stratified_split
from sparsebench.errors import DataError
from sparsebench.seeds import generator

X = np.arange(24, dtype=np.float32).reshape(8, 3)
y = np.array([3, 7, 3, 7, 3, 7, 3, 7])


class Drawn:
    """Samples that are made when they are read."""

    features = 2

    def __init__(self, labels, tag=""):
        self.targets = np.asarray(labels, dtype=np.int64)
        self.tag = tag

    def batch(self, rows):
        return np.stack([rows, rows + 0.5]).astype(np.float32)

    def fingerprint(self):
        return f"{self.tag}{self.targets.tolist()}"


# --- the split -----------------------------------------------------------------------

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=120)
FRACTIONS = st.floats(0.01, 0.99)


@settings(max_examples=150, deadline=None)
@given(LABELS, FRACTIONS, st.integers(0, 2**32))
def test_laws_of_the_stratified_split(labels, fraction, seed):
    labels = np.array(labels)
    kept, held = stratified_split(labels, fraction, np.random.default_rng(seed))
    assert sorted([*kept, *held]) == list(range(labels.size))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()
    for label, count in zip(*np.unique(labels, return_counts=True)):
        of_class = int((labels[held] == label).sum())
        if count == 1:
            assert of_class == 0
        else:
            assert 1 <= of_class <= count - 1
            low, high = np.floor(fraction * count), np.ceil(fraction * count)
            assert min(max(low, 1), count - 1) <= of_class <= max(min(high, count - 1), 1)


@settings(max_examples=50, deadline=None)
@given(LABELS, FRACTIONS, st.integers(0, 2**32))
def test_the_split_repeats_with_its_seed(labels, fraction, seed):
    first, again = (
        stratified_split(np.array(labels), fraction, np.random.default_rng(seed)) for _ in range(2)
    )
    assert all((a == b).all() for a, b in zip(first, again))


def test_the_split_holds_out_a_third_in_all():
    counts = [10, 11, 13, 1, 2]
    labels = np.repeat(np.arange(5), counts)
    _, held = stratified_split(labels, 1 / 3, generator(0, "split"))
    assert held.size == round(sum(counts) / 3)
    assert np.bincount(labels[held], minlength=5).tolist()[3:] == [0, 1]


def test_split_seed_fixes_the_split_and_seed_does_not_matter_then():
    def test_rows(**seeds):
        return prepare(Parts(np.eye(60, 4), np.arange(60) % 3), **seeds).test.samples.rows.tolist()

    assert test_rows(seed=1, split_seed=5) == test_rows(seed=2, split_seed=5)
    assert test_rows(seed=5) == test_rows(seed=2, split_seed=5)
    assert test_rows(seed=1) != test_rows(seed=2)


@settings(max_examples=50, deadline=None)
@given(LABELS, st.integers(2, 6), st.integers(0, 2**32))
def test_laws_of_folds(labels, folds, seed):
    labels = np.array(labels)
    found = folds_of(labels, folds, np.random.default_rng(seed))
    sizes = np.bincount(found[found >= 0], minlength=folds)
    assert np.ptp(sizes) <= 1
    for label, count in zip(*np.unique(labels, return_counts=True)):
        of_class = found[labels == label]
        if count == 1:
            assert of_class == -1
        else:
            assert np.ptp(np.bincount(of_class, minlength=folds)) <= 1


def test_each_sample_is_in_the_test_part_of_one_fold():
    parts = Parts(np.eye(31, 4), np.arange(31) % 3)
    tests = [prepare(parts, seed=4, fold=f"{i}/5").test.samples.rows for i in range(1, 6)]
    assert sorted(np.concatenate(tests)) == list(range(31))
    trained = prepare(parts, seed=4, fold="2/5").train.samples.rows
    assert sorted([*trained, *tests[1]]) == list(range(31))
    again = prepare(parts, seed=9, split_seed=4, fold="2/5").test.samples.rows
    assert again.tolist() == tests[1].tolist()
    with pytest.raises(DataError, match=r"31 samples .* at least 40 for fold = '1/40'"):
        prepare(parts, fold="1/40")
    with pytest.raises(DataError, match="has a test part of its own"):
        prepare(Parts(X, y, X, y), fold="1/2")


def test_missing_values_are_filled_by_what_the_training_samples_are_like():
    def parts(fill):
        gaps = np.arange(24.0).reshape(12, 2) ** 2
        gaps[::5, 0] = np.nan
        return Parts(gaps, np.arange(12) % 2, fill=fill)

    for fill, of in (("mean", np.nanmean), ("median", np.nanmedian)):
        found = prepare(parts(fill), seed=0, scaling="none")
        column, raw = found.train.samples.X[:, 0], parts(fill).X_train[:, 0]
        expected = of(raw[found.train.samples.rows])
        np.testing.assert_allclose(column, np.where(np.isnan(raw), expected, raw))
    with pytest.raises(DataError, match="has nan at row 0, column 0"):
        prepare(parts(None))


def test_validation_comes_from_the_training_part_and_moves_no_test_row():
    parts = Parts(np.eye(60, 4), np.arange(60) % 3)
    without, with_part = prepare(parts, seed=0), prepare(parts, seed=0, validation=0.25)
    assert without.validation is None
    assert with_part.validation is not None
    assert with_part.test.samples.rows.tolist() == without.test.samples.rows.tolist()
    rows = [*with_part.train.samples.rows, *with_part.validation.samples.rows]
    assert sorted(rows) == without.train.samples.rows.tolist()
    assert with_part.validation.targets.size == 10


def test_an_official_split_is_kept_in_order():
    found = prepare(Parts(X, y, X[:2] + 1, y[:2]), seed=3)
    assert found.train.targets.tolist() == [0, 1] * 4
    assert found.test.targets.tolist() == [0, 1]
    assert found.outputs == 2
    assert found.features == 3
    assert np.shares_memory(found.train.samples.X, X)


# --- standardisation -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32, float])
def test_batches_are_standardised_with_the_training_part_only(dtype):
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 200, (n, 5)).astype(dtype) for n in (40, 9))
    found = prepare(Parts(train, np.arange(40) % 2, test, np.arange(9) % 2), seed=0)
    mean, std = train.astype(float).mean(axis=0), train.astype(float).std(axis=0)
    rows = np.array([3, 3, 8])
    batch = found.test.batch(rows)[0]
    assert batch.dtype == np.float32
    assert batch.shape == (5, 3)
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch, ((test[rows] - mean) / std).T, rtol=2e-5, atol=2e-6)
    assert found.train.samples.X.dtype == dtype


def test_validation_rows_do_not_enter_the_statistics():
    found = prepare(Parts(X, y, X, y), seed=0, validation=0.5)
    every = found.train.batch(np.arange(found.train.targets.size))[0]
    np.testing.assert_allclose(every.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(every.std(axis=1), 1, rtol=1e-5)


def test_constant_features_become_zero_even_where_the_test_part_differs():
    constant = np.column_stack([np.full(8, 0.1), np.arange(8)])
    found = prepare(Parts(constant, y, constant + 5, y), seed=0)
    assert not found.train.batch(np.arange(8))[0][0].any()
    assert not found.test.batch(np.arange(8))[0][0].any()
    assert found.test.batch(np.arange(8))[0][1].any()


def test_large_offsets_of_wide_numbers_keep_their_digits():
    far = 1e9 + np.arange(8.0)[:, None]
    batch = prepare(Parts(far, y, far, y), seed=0).train.batch(np.arange(8))[0]
    np.testing.assert_allclose(np.diff(batch[0]), 1 / np.arange(8).std(), rtol=1e-5)


def test_blocks_do_not_change_the_result(monkeypatch):
    wide = np.random.default_rng(0).normal(5, 2, (50, 7)).astype(np.float32)
    parts = Parts(wide, np.arange(50) % 2)
    whole = prepare(parts, seed=0).train.batch(np.arange(9))[0]
    monkeypatch.setattr(feature_scaling, "BLOCK", 10)
    np.testing.assert_allclose(
        prepare(parts, seed=0).train.batch(np.arange(9))[0], whole, atol=1e-6
    )


def test_no_second_copy_of_the_features_comes_to_exist(monkeypatch):
    monkeypatch.setattr(feature_scaling, "BLOCK", 1 << 14)
    large = np.random.default_rng(0).random((4000, 500), dtype=np.float32)
    parts = Parts(large, np.arange(4000) % 2)
    tracemalloc.start()
    try:
        prepare(parts, seed=0, validation=0.2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < large.nbytes / 4


# --- labels and fingerprints ---------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["b", "a"] * 4),
        np.array([9, -4] * 4),
        np.array([2.0, 1.0] * 4),
        np.array([True, False] * 4),
    ],
    ids=["text", "integers", "whole floats", "bools"],
)
def test_labels_of_any_kind_become_class_numbers(labels):
    found = prepare(Parts(X, labels, X, labels), seed=0)
    assert found.train.targets.tolist() == [1, 0] * 4
    assert found.train.targets.dtype == np.int64


def test_fingerprints_follow_the_data_and_nothing_else():
    base = prepare(Parts(X, y), seed=0)
    assert prepare(Parts(X, y, source="elsewhere"), seed=9).fingerprint == base.fingerprint
    assert prepare(Parts(np.asfortranarray(X), y), seed=0).fingerprint == base.fingerprint
    others = [Parts(X + 1, y), Parts(X, y[::-1]), Parts(X.astype(float), y), Parts(X, y, X, y)]
    prints = [base.fingerprint, *(prepare(p, seed=0).fingerprint for p in others)]
    assert len(set(prints)) == len(prints)
    parts = prepare(Parts(X, y, X, y), seed=0, validation=0.5)
    kinds = [parts.train, parts.test, parts.validation]
    assert len({part.samples.fingerprint() for part in kinds}) == 3


# --- what can be wrong ---------------------------------------------------------------


def spoilt(value, row=2, column=1):
    found = X.copy()
    found[row, column] = value
    return found


WRONG = {
    "nan": (Parts(spoilt(np.nan), y), "X has nan at row 2, column 1"),
    "inf in test": (Parts(X, y, spoilt(np.inf), y), "X_test has inf at row 2, column 1"),
    "one axis": (Parts(X[:, 0], y), r"X has shape \(8,\); expected two axes"),
    "text features": (Parts(X.astype(str), y), "expected numbers"),
    "objects": (Parts(X, y.astype(object)), "dtype object; expected integers or strings"),
    "no samples": (Parts(X[:0], y[:0]), r"empty, shape \(0, 3\)"),
    "no features": (Parts(X[:, :0], y), r"empty, shape \(8, 0\)"),
    "empty test": (Parts(X, y, X[:0], y[:0]), "X_test is empty"),
    "few labels": (Parts(X, y[:5]), "y has 5 rows for 8 samples"),
    "few test labels": (Parts(X, y, X, y[:5]), "y_test has 5 rows for 8 samples"),
    "several flags": (Parts(X, np.ones((8, 8))), "expected one axis"),
    "regression": (Parts(X, y + 0.5), "y has 3.5 at row 0; expected classes"),
    "nan label": (Parts(X, np.full(8, np.nan)), "y has nan at row 0"),
    "unseen": (Parts(X, y, X, np.where(y == 7, 8, y)), "label 8 at row 1 of the test part"),
    "mixed kinds": (Parts(X, y, X, y.astype(str)), "expected the same kind"),
    "one class": (Parts(X, y * 0), "1 class in the training labels"),
    "all different": (Parts(X, np.arange(8)), "every class has a single sample"),
    "other features": (Parts(X, y, X[:, :2], y), "X_test has 2 features and X_train 3"),
    "half a test part": (Parts(X, y, X), "y_test is missing"),
    "huge": (Parts(X * np.float64(1e300), y), "feature 0 is too large"),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_what_is_wrong_is_said_in_one_line_that_starts_with_the_source(what):
    parts, message = WRONG[what]
    named = Parts(parts.X_train, parts.y_train, parts.X_test, parts.y_test, "my.npz")
    with pytest.raises(DataError, match=message) as caught:
        prepare(named, seed=0)
    text = str(caught.value)
    assert text.startswith("my.npz: ")
    assert "\n" not in text


@pytest.mark.parametrize("validation", [-0.1, 1.0, 2.0])
def test_validation_must_be_a_fraction(validation):
    with pytest.raises(DataError, match="validation"):
        prepare(Parts(X, y), seed=0, validation=validation)


# --- samples that are not arrays -----------------------------------------------------


def test_samples_pass_through_and_validation_is_a_subset():
    train, test = Drawn([0, 1] * 10), Drawn([1, 0, 1])
    found = prepare((train, test, 2), seed=0, validation=0.2)
    assert found.validation is not None
    assert found.train.targets.size == 16
    assert found.validation.targets.tolist().count(0) == 2
    assert found.test.samples is test
    rows = found.validation.rows
    assert found.validation.batch(np.array([1, 0]))[0][0].tolist() == [rows[1], rows[0]]
    assert found.features == found.validation.features == 2


def test_fingerprint_of_samples_follows_theirs():
    marks = {
        prepare((Drawn([0, 1], a), Drawn([0, 1], b), 2), seed=0).fingerprint
        for a, b in itertools.product("xy", repeat=2)
    }
    assert len(marks) == 4


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [([0, 2], [0], "expected 0..1"), ([0, 1], [-1], "expected 0..1"), ([0, 1], [], "empty")],
)
def test_samples_are_checked(train, test, message):
    with pytest.raises(DataError, match=message):
        prepare((Drawn(train), Drawn(test), 2), seed=0)
