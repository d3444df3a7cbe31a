"""Labels that tell trials apart."""

from __future__ import annotations

from sparsebench.suite.labels import axis_words, brief


def test_brief():
    assert brief([1000, 1000]) == "1000-1000"
    assert brief({"name": "set", "zeta": 0.3}) == "set"
    assert brief({"name": "set", "prune": {"name": "importance"}}) == "set + importance"
    assert brief(0.5) == "0.5"


def test_values_of_an_axis_are_told_apart_by_what_differs():
    values = [{"name": "set"}, {"name": "set", "zeta": 0.1}, {"name": "static", "epsilon": 5}]
    assert axis_words(values) == ["set", "set (zeta=0.1)", "static"]
    assert axis_words([500, [1, 2], "x"]) == ["500", "1-2", "x"]
    assert axis_words(["set", {"name": "set", "zeta": 0.1}]) == ["set", "set (zeta=0.1)"]


def test_a_nested_component_counts_by_its_name():
    prune = {"name": "importance", "start": 3}
    values = [{"name": "set", "zeta": 0.3}, {"name": "set", "zeta": 0.3, "prune": prune}]
    assert axis_words(values) == ["set", "set + importance"]
