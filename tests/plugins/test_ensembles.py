"""Ensembles of one training, and their average."""

from __future__ import annotations

import numpy as np
import pytest
from small import small_work
from sparsebench_plugins.ensembles.members import (
    Member,
    accuracy,
    average,
    calibration_error,
    disagreement,
)
from sparsebench_plugins.ensembles.training import _Restarted as Restarted

from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.errors import Unsupported

SMALL = {"backend": "scipy-csr", "epochs": 6, "topology": {"name": "set", "epsilon": 4}}


def member(dense, bias) -> Member:
    dense = np.asarray(dense, dtype=np.float32)
    pattern = CsrPattern.from_keys(dense.shape, np.flatnonzero(dense))
    W = CsrMatrix(pattern, dense[dense != 0])
    return Member([W], [np.asarray(bias, dtype=np.float32)], [])


def test_the_average_of_two_by_hand():
    """Means on all three connections are 2, 2.5 and 1; on average a member has two."""
    one, other = member([[4.0, 1.0, 0.0]], [1.0]), member([[0.0, 4.0, 2.0]], [2.0])
    mean = average([one, other], "mean")
    assert mean.weights[0].indices.tolist() == [0, 1]
    assert mean.weights[0].data.tolist() == [2.0, 2.5]
    assert mean.biases[0].tolist() == [1.5]
    largest = average([one, other], "largest")
    assert largest.weights[0].data.tolist() == [4.0, 4.0]


def test_accuracy_disagreement_and_calibration_by_hand():
    P = np.array([[0.9, 0.6, 0.2, 0.5], [0.1, 0.4, 0.8, 0.5]])
    Q = P[::-1]
    labels = np.array([0, 1, 1, 0])
    assert accuracy(P, labels) == 0.75
    assert disagreement([P, Q, P]) == pytest.approx(0.5)  # ties are class 0 in both
    # confidences 0.9, 0.6 (wrong), 0.8 and 0.5 in bins of their own
    assert calibration_error(P, labels) == pytest.approx((0.1 + 0.6 + 0.2 + 0.5) / 4)


@pytest.mark.parametrize("disjoint", [False, True])
def test_members_differ_and_together_are_scored(build, disjoint):
    given = {"name": "free-tickets", "members": 3, "explore": 0.5, "disjoint": disjoint}
    trainer, work = build("trainer", given), small_work(build, **SMALL)
    measures = trainer.run(work).measures
    assert measures["ensemble_members"] == 3
    assert measures["ensemble_connections"] == 3 * measures["connections"]
    assert 0 < measures["ensemble_disagreement"] < 1
    assert measures["ensemble_accuracy"] >= measures["member_accuracy"] - 0.05
    assert 0 <= measures["ensemble_ece"] <= 1


def test_the_average_becomes_the_trained_network(build):
    given = {"name": "sup-tickets", "begin": 0.5, "cycle": 1}
    result = build("trainer", given).run(small_work(build, **SMALL))
    assert result.measures["ensemble_members"] == 4
    assert sum(layer.nnz for layer in result.network.layers) == result.measures["connections"]
    assert result.measures["averaged_accuracy"] > 0.3


def test_the_learning_rate_starts_again_in_each_phase(build):
    schedule = {"name": "linear", "final": 0.0}
    optimizer = {"name": "sgd", "learning_rate": 1.0, "schedule": schedule}
    work = small_work(build, **SMALL, optimizer=optimizer)
    rate = Restarted(work, [(1, 2), (3, 3)], per_epoch=5)
    assert [rate(9.0, t) for t in (1, 10, 11, 15)] == [1.0, 0.0, 1.0, 0.0]


def test_what_has_no_members_is_refused(build):
    trainer = build("trainer", "tse")
    with pytest.raises(Unsupported, match="Static replaces no connections"):
        trainer.run(small_work(build, **{**SMALL, "epochs": 20, "topology": "static"}))
    with pytest.raises(Unsupported, match="epochs behind the exploration for 5 members"):
        trainer.run(small_work(build, **SMALL))
