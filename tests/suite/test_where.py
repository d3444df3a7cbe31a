from __future__ import annotations

from typing import Any

import pytest
from suite_files import Expand

from sparsebench.errors import SuiteError
from sparsebench.suite.selectors import matches

PRUNED = """
trial.timeout = "1h"
trial.topology = { name = "set", prune = { name = "importance", start = 5 } }
"""


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"topology": "set"}, True),
        ({"topology": "dense"}, False),
        ({"topology": "set", "backend": "dense-mask"}, False),
        ({"topology": {"name": "set", "zeta": 0.3}}, True),
        ({"topology": {"zeta": 0.4}}, False),
        ({"model.hidden": [10]}, True),
        ({"model.hidden": [10, 10]}, False),
        ({"model.hidden": 10}, False),
        ({"model.activation": "leaky"}, True),
        ({"model.activation.alpha": 0.1}, True),
        ({"topology.zeta": 0.3}, True),
        ({"topology.no_such": 0.3}, False),
        ({"prune": "importance"}, True),
        ({"prune.start": 5}, True),
        ({"topology.prune": "importance"}, True),
        ({"prune": ""}, False),
        ({"seed": 0}, True),
        ({"seed": False}, False),
        ({"seed": "0"}, False),
        ({"epochs": 2}, True),
        ({"timeout": "60m"}, True),
        ({"huge_pages": False}, True),
    ],
)
def test_matches(trials: Expand, where: dict[str, Any], expected: bool) -> None:
    (trial,) = trials(PRUNED)
    assert matches(where, trial) is expected


def test_no_pruning_is_the_empty_name(trials: Expand) -> None:
    (trial,) = trials()
    assert matches({"prune": ""}, trial)
    assert matches({"topology.prune": ""}, trial)
    assert not matches({"prune": "importance"}, trial)
    assert not matches({"prune.start": 5}, trial)


def test_unknown_keys(trials: Expand) -> None:
    (trial,) = trials()
    with pytest.raises(SuiteError, match=r"unknown key 'sed'. Did you mean 'seed'?"):
        matches({"sed": 0}, trial)
    with pytest.raises(SuiteError, match=r"unknown key 'seed.x': only components have parameters"):
        matches({"seed.x": 0}, trial)
    with pytest.raises(SuiteError, match="timeout: expected a duration"):
        matches({"timeout": "soon"}, trial)
