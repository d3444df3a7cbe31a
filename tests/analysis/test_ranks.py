"""Demšar (2006), JMLR 7, table 6: AUC of C4.5, with m or cf or both tuned, on 14 data sets."""

import math

import numpy as np
import pytest

from sparsebench.analysis.ranks import critical_difference, profiles, rank

METHODS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
AUC = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.975, 0.973], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip


def scores(values, names=None):
    names = names or [f"m{i}" for i in range(np.shape(values)[1])]
    return {name: list(column) for name, column in zip(names, np.transpose(values))}


def test_the_worked_example_of_demsar():
    found = rank(scores(AUC, METHODS))
    assert found.methods == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert [round(one, 3) for one in found.ranks] == [1.964, 2.000, 2.893, 3.143]
    # the paper does not correct for ties: 4 equal, and three pairs, in 14 rows of 60 = 4^3 - 4
    ties = 1 - (60 + 3 * 6) / (14 * 60)
    assert found.chi2 * ties == pytest.approx(9.28, abs=0.01)
    plain = found.chi2 * ties
    assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=0.01)
    assert found.p < 0.05
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    # "the Nemenyi test is not powerful enough": at 0.05 nothing differs from all the rest
    assert found.groups == [found.methods]
    assert rank(scores(AUC, METHODS), alpha=0.10).critical_difference == pytest.approx(
        1.12, abs=0.005
    )


def test_friedman_is_that_of_scipy():
    from scipy import stats

    found = rank(scores(AUC, METHODS))
    assert found.chi2 == pytest.approx(stats.friedmanchisquare(*AUC.T).statistic)


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)]
)
def test_q_is_that_of_the_papers_table_5(methods, q):
    scale = math.sqrt(methods * (methods + 1) / (6 * 9))
    assert critical_difference(methods, 9) / scale == pytest.approx(q, abs=0.0011)


def test_clear_differences_make_groups():
    steps = np.array([[4.0, 3.9, 2.0, 1.0]] * 30)
    steps[::2, :2] = [3.9, 4.0]
    found = rank(scores(steps))
    assert found.groups == [("m0", "m1")]
    assert found.differ("m0", "m2")
    assert not found.differ("m0", "m1")


def test_groups_may_overlap():
    rng = np.random.default_rng(5)
    found = rank(scores(np.array([3.0, 2.0, 1.0]) + 2.0 * rng.normal(size=(25, 3))))
    assert found.groups == [("m0", "m1"), ("m1", "m2")]


def test_equal_scores_show_nothing():
    found = rank(scores(np.ones((5, 3))))
    assert found.ranks == (2.0, 2.0, 2.0)
    assert (found.chi2, found.p) == (0.0, 1.0)


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="found \\(2, 2\\)"):
        rank(scores(np.ones((2, 2))))
    with pytest.raises(ValueError, match="NaN"):
        rank(scores(np.full((3, 2), np.nan)))


@pytest.mark.parametrize(("datasets", "methods"), [(3, 3), (4, 2), (8, 5)])
def test_false_alarms_stay_within_alpha(datasets, methods):
    """Methods that do not differ: shares of 200 draws, with three standard errors of room."""
    rng = np.random.default_rng([datasets, methods])
    found = [rank(scores(rng.normal(size=(datasets, methods)))) for _ in range(200)]
    room = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean([one.p < 0.05 for one in found]) <= room
    assert np.mean([one.groups != [one.methods] for one in found]) <= room


def test_a_method_that_is_better_is_found():
    """A shift of 1.5 standard deviations on 12 data sets is seen in most draws."""
    rng = np.random.default_rng(7)
    shift = np.array([1.5, 0.0, 0.0])
    found = [rank(scores(rng.normal(size=(12, 3)) + shift)) for _ in range(100)]
    assert np.mean([one.p < 0.05 for one in found]) > 0.8
    assert np.mean([one.differ("m0", "m1") for one in found]) > 0.6


def test_profiles_of_worked_costs():
    """Costs 1, 4, 3, never; 2, 2, 3, 5; the least of each data set is 1, 2, 3, 5."""
    first, second = profiles({"a": [1, 4, 3, math.inf], "b": [2, 2, 3, 5]})
    assert first.ratios == (1, 1, 2, math.inf)
    assert (first.share(1), first.share(2), first.solved) == (0.5, 0.75, 0.75)
    assert second.ratios == (1, 1, 1, 2)
    assert (second.share(1), second.share(1.99), second.share(2)) == (0.75, 0.75, 1.0)


def test_nobody_gets_there_and_costs_of_nothing():
    (one,) = profiles({"a": [math.inf, 1.0]})
    assert one.solved == 0.5
    with pytest.raises(ValueError, match="not positive"):
        profiles({"a": [0.0]})
