"""Dealing out a whole number by weight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.core.methods.compose import share_out


@pytest.mark.parametrize(
    ("total", "weights", "limits", "parts"),
    [
        (10, [1, 1], [10, 10], [5, 5]),
        (10, [3, 1, 1], [10, 10, 10], [6, 2, 2]),
        (7, [1, 1], [10, 10], [4, 3]),  # the earlier gets the odd one
        (10, [9, 1], [4, 10], [4, 6]),  # what is over goes to the one with room
        (9, [1, 0, 0], [3, 10, 10], [3, 3, 3]),  # in equal parts
        (5, [0, 0], [4, 4], [3, 2]),  # no weights: in equal parts
        (0, [1, 2], [0, 0], [0, 0]),
    ],
)
def test_worked_numbers(total, weights, limits, parts):
    assert share_out(total, weights, limits) == parts


def test_no_room():
    with pytest.raises(ValueError, match="5 connections do not fit into room for 4"):
        share_out(5, [1, 1], [2, 2])


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 50)), min_size=1), st.data())
def test_all_is_dealt_and_no_limit_passed(layers, data):
    weights, limits = zip(*layers, strict=True)
    total = data.draw(st.integers(0, sum(limits)))
    parts = share_out(total, weights, limits)
    assert sum(parts) == total
    assert all(0 <= part <= limit for part, limit in zip(parts, limits, strict=True))
