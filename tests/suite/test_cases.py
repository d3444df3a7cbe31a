"""[[case]]: values that go together, each multiplied with the grid."""

from __future__ import annotations

import pytest
from suite_files import Expand, Write

from sparsebench.errors import SuiteError
from sparsebench.suite.labels import label

TWO = """
case = [
  { dataset = { name = "toy", samples = 10 }, epochs = 3, "model.hidden" = [4] },
  { dataset = { name = "toy", samples = 20 }, epochs = 5, "model.hidden" = [8, 8] },
]
"""


def test_each_case_is_multiplied_with_the_grid(trials: Expand) -> None:
    found = trials(TWO + "grid.seed = [0, 1]")
    assert [(t.dataset["samples"], t.epochs, t.model["hidden"], t.seed) for t in found] == [
        (10, 3, [4], 0), (10, 3, [4], 1), (20, 5, [8, 8], 0), (20, 5, [8, 8], 1),
    ]  # fmt: skip
    assert found[3].axes["epochs"] == 5
    assert found[3].axes["model.hidden"] == [8, 8]


def test_a_label_says_no_more_of_a_case_than_tells_it_apart(trials: Expand) -> None:
    assert [label(t) for t in trials(TWO)] == [
        "dataset=toy (samples=10)",
        "dataset=toy (samples=20)",
    ]


def test_a_setting_takes_its_key_out_of_the_cases(trials: Expand) -> None:
    assert [t.epochs for t in trials(TWO, settings={"epochs": 1})] == [1, 1]
    found = trials(TWO, settings={"model": {"hidden": [2]}, "dataset": "toy"})
    assert [(t.epochs, t.model["hidden"]) for t in found] == [(3, [2]), (5, [2])]
    assert len(trials(TWO, settings={"model": {"hidden": [2]}, "dataset": "toy", "epochs": 1})) == 1


def test_seeds_replace_those_of_cases(trials: Expand) -> None:
    text = "case = [{ seed = 1, epochs = 1 }, { seed = 2, epochs = 4 }]"
    assert [(t.epochs, t.seed) for t in trials(text)] == [(1, 1), (4, 2)]
    assert [(t.epochs, t.seed) for t in trials(text, seeds=[7])] == [(1, 7), (4, 7)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("case = [{ epochs = 1 }, { seed = 1 }]", "case[1]: has seed, case[0] has epochs"),
        ("case = [{}]", "case[0]: has no keys"),
        ("case = [{ seed = 1 }]\ngrid.seed = [1]", "case[0].seed: is an axis of [grid] too"),
        ("case = [{ seed = 1 }, { seed = 1 }]", "case[1]: is the same as an earlier case"),
        ("case = [{ epoch = 1 }]", "case[0].epoch"),
        ("case = { seed = 1 }", "case: expected tables, [[case]]"),
    ],
)
def test_what_is_wrong_is_reported(suite: Write, text: str, complaint: str) -> None:
    with pytest.raises(SuiteError, match=r"small\.toml: ") as error:
        suite(text)
    assert complaint in str(error.value)


def test_a_wrong_value_is_reported_with_its_place(trials: Expand) -> None:
    with pytest.raises(SuiteError, match=r"case\[1\]\.epochs"):
        trials("case = [{ epochs = 1 }, { epochs = 'two' }]")
