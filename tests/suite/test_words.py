"""Labels that tell trials apart."""

from __future__ import annotations

from sparsebench.suite.labels import axis_words, brief


def test_brief():
    assert brief([1000, 1000]) == "1000-1000"
    assert brief({"name": "set", "zeta": 0.3}) == "set"
    assert brief({"name": "set", "prune": {"name": "importance"}}) == "set + importance"
    assert brief(0.5) == "0.5"


def test_values_of_an_axis_are_distinguished_by_what_differs():
    values = [{"name": "set"}, {"name": "set", "zeta": 0.1}, {"name": "static", "epsilon": 5}]
    assert axis_words(values) == ["set", "set (zeta=0.1)", "static"]
    assert axis_words([500, [1, 2], "x"]) == ["500", "1-2", "x"]
    assert axis_words(["set", {"name": "set", "zeta": 0.1}]) == ["set", "set (zeta=0.1)"]


def test_a_nested_component_counts_by_its_name():
    prune = {"name": "importance", "start": 3}
    values = [{"name": "set", "zeta": 0.3}, {"name": "set", "zeta": 0.3, "prune": prune}]
    assert axis_words(values) == ["set", "set + importance"]


def test_a_file_is_called_by_its_name_or_label_and_never_by_a_whole_path():
    def file(path, **more):
        return {"name": "file", "path": path, "target": None, **more}

    assert brief(file("/data/a/colon.npz")) == "colon"
    assert brief(file("colon.csv.gz")) == "colon"
    assert brief(file("x.npz", label="Colon cancer")) == "Colon cancer"
    assert axis_words([file("/d/a/x.npz"), file("/d/b/x.npz"), file("/d/y.npz")]) == [
        "x (a/x.npz)", "x (b/x.npz)", "y",
    ]  # fmt: skip
    assert axis_words([file("x.npz"), file("x.npz", target="z")]) == [
        "x", "x (target=z)",
    ]  # fmt: skip
