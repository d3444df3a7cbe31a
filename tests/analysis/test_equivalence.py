import math

import numpy as np
import pytest
from binomial import at_least, at_most

from sparsebench.analysis.statistics import (
    Reproduction,
    Spread,
    against_published,
)

SIMULATIONS = 2000
R = Reproduction


def samples(seed, n=5, shift=0.0, sd=1.0):
    for values in shift + sd * np.random.default_rng(seed).normal(size=(SIMULATIONS, n)):
        yield values.tolist()


def exact(mean):
    """A published mean that is hardly a sample any more."""
    return Spread(mean, math.nan, 10**9)


def word(found, more_is_better):
    return found.reproduction(more_is_better)


def words(seed, n, shift, margin, sd=1.0):
    return [
        word(against_published(v, exact(0.0), margin), True) for v in samples(seed, n, shift, sd)
    ]


def test_the_error_at_the_margin_is_alpha():
    """At the very margin a mean is called reproduced in 5 % of cases, and as often beyond it."""
    found = words(1, 5, shift=-3.0, margin=3.0)
    for said in (R.REPRODUCED, R.WORSE):
        assert at_most(found.count(said), SIMULATIONS, 0.05)
        assert at_least(found.count(said), SIMULATIONS, 0.05)
    assert R.BETTER not in found


def test_what_is_beyond_the_margin_is_seldom_called_reproduced():
    assert at_most(words(2, 5, shift=3.2, margin=3.0).count(R.REPRODUCED), SIMULATIONS, 0.05)


def test_what_is_equal_is_reproduced_where_the_margin_is_wide():
    found = words(3, 5, shift=0.0, margin=3.0)
    assert found.count(R.REPRODUCED) > 0.95 * SIMULATIONS


def test_what_is_equal_is_inconclusive_where_seeds_are_few():
    """Not to differ significantly is not to be reproduced."""
    found = words(4, 3, shift=0.0, margin=0.5)
    assert found.count(R.INCONCLUSIVE) > 0.8 * SIMULATIONS


def test_far_off_is_worse_or_better_by_what_is_better():
    assert words(5, 5, shift=-6.0, margin=1.0).count(R.WORSE) > 0.95 * SIMULATIONS
    values = [5.0, 6.0, 7.0]
    assert word(against_published(values, exact(0.0), 1.0), more_is_better=True) is R.BETTER
    assert word(against_published(values, exact(0.0), 1.0), more_is_better=False) is R.WORSE


def test_welch_tost_at_the_margin():
    """Against a published mean, sd and n, itself drawn at random."""
    rng = np.random.default_rng(6)
    found = []
    for values in samples(7, n=5, shift=2.0, sd=0.7):
        published = Spread.of(rng.normal(size=8).tolist())
        found.append(word(against_published(values, published, 2.0), True))
    assert at_most(found.count(R.REPRODUCED), SIMULATIONS, 0.06)
    assert at_least(found.count(R.REPRODUCED), SIMULATIONS, 0.04)


def test_one_published_seed_is_one_draw():
    """Both vary alike and are equal: at the margin neither word is said too often."""
    rng = np.random.default_rng(8)
    found = [
        word(against_published(values, Spread(float(rng.normal()), math.nan, 1), 3.0), True)
        for values in samples(9, shift=-3.0)
    ]
    for said in (R.REPRODUCED, R.WORSE):
        assert at_most(found.count(said), SIMULATIONS, 0.05)


def test_published_spread_makes_it_harder_to_be_sure():
    values = [0.90, 0.91, 0.92, 0.91, 0.90]
    without = against_published(values, exact(0.908), 0.01)
    spread = against_published(values, Spread(0.908, 0.02, 5), 0.01)
    assert word(without, True) is R.REPRODUCED
    assert word(spread, True) is R.INCONCLUSIVE
    assert spread.p > without.p


@pytest.mark.parametrize(
    ("value", "said"), [(1.0, R.REPRODUCED), (1.5, R.REPRODUCED), (1.6, R.BETTER), (0.4, R.WORSE)]
)
def test_values_without_spread(value, said):
    assert word(against_published([value] * 4, exact(1.0), 0.5), True) is said


def test_without_a_margin_nothing_is_equivalent():
    assert word(against_published([1.0, 1.1, 0.9], exact(1.0), 0.0), True) is R.INCONCLUSIVE
