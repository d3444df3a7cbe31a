"""Ensembles of one training, and their average."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from small import small_work
from sparsebench_plugins.ensembles import neurotrails
from sparsebench_plugins.ensembles.heads import Heads, MeanLoss, TrunkAndHeads, beside, part_of
from sparsebench_plugins.ensembles.members import (
    Member,
    accuracy,
    average,
    calibration_error,
    disagreement,
)
from sparsebench_plugins.ensembles.training import Restarted

from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.core.training.build_network import build_network
from sparsebench.errors import Unsupported
from sparsebench.testing import check_trajectory
from sparsebench.testing.fixtures import random_matrix

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


# --- heads on a trunk ----------------------------------------------------------------

HEADS = Heads(2, trunk=1)


def test_layers_of_heads_are_blocks_of_wide_layers():
    single = [(8, 20), (6, 8), (4, 6)]
    assert HEADS.wide(single) == [(8, 20), (12, 8), (8, 12)]
    assert HEADS.single(HEADS.wide(single)) == single
    assert HEADS.block(1, (12, 8), 1) == ((6, 0), (6, 8))
    assert HEADS.block(2, (8, 12), 1) == ((4, 6), (4, 6))


def test_blocks_beside_each_other_come_apart_again():
    rng = np.random.default_rng(0)
    parts = [random_matrix((4, 6), 7, rng) for _ in range(2)]
    both = beside(list(zip([(0, 0), (4, 6)], parts, strict=True)), (8, 12))
    both.validate()
    dense = csr_matrix((both.data, both.indices, both.indptr), shape=both.shape).toarray()
    assert not dense[:4, 6:].any()
    assert not dense[4:, :6].any()
    for number, part in enumerate(parts):
        found = part_of(both, *HEADS.block(2, both.shape, number))
        assert np.array_equal(found.indices, part.indices)
        assert np.array_equal(found.data, part.data)


def test_the_loss_is_the_mean_over_heads_and_so_is_its_gradient(build):
    loss = MeanLoss(build("loss", "cross-entropy"), 2)
    rng = np.random.default_rng(0)
    Z, T = rng.standard_normal((6, 5)), np.array([0, 2, 1, 1, 0])
    value, DZ = loss.value_and_gradient(Z.copy(), T)
    assert value == pytest.approx(loss.value(Z.copy(), T))
    for at in ((0, 0), (4, 3), (5, 1)):
        step = np.zeros_like(Z)
        step[at] = 1e-5
        slope = (loss.value(Z + step, T) - loss.value(Z - step, T)) / 2e-5
        assert DZ[at] == pytest.approx(slope, rel=1e-4)


OVER_HEADS = {
    "static": {"name": "static", "epsilon": 4},
    "set": {"name": "set", "epsilon": 4},
    "rigl": {"name": "rigl", "density": 0.2, "update_every": 4},
    "gse": {"name": "gse", "density": 0.2, "update_every": 4},
    "snfs": {"name": "snfs", "density": 0.2, "update_every": 4},
    "granet": {"name": "granet", "density": 0.1, "update_every": 4},
    "chts": {"name": "chts", "density": 0.2, "allocation": "uniform"},
    "ctre": {"name": "ctre-sim", "density": 0.2},
}


def train_heads(build, **given):
    seen = []
    trainer = build("trainer", {"name": "neurotrails", "heads": 3, "layers": 2})
    work = small_work(build, **{**SMALL, "epochs": 3, **given})
    original = neurotrails.member
    patch = pytest.MonkeyPatch()
    patch.setattr(neurotrails, "member", lambda network, *more: (
        seen.append(network) or original(network, *more)))  # fmt: skip
    try:
        return trainer.run(work), seen[0]
    finally:
        patch.undo()


@pytest.mark.parametrize("method", OVER_HEADS)
def test_connections_stay_within_heads(build, method):
    result, network = train_heads(build, topology=OVER_HEADS[method])
    assert [layer.shape for layer in network.layers] == [(40, 20), (90, 40), (12, 90)]
    last = network.layers[2].weights()
    assert np.array_equal(last.rows // 4, last.indices // 30)
    connections = [epoch.connections for epoch in result.epochs]
    assert (method == "granet") == (sum(connections[-1]) < sum(connections[0]))
    measures = result.measures
    assert measures["ensemble_members"] == 3
    assert measures["ensemble_connections"] == measures["connections"] == sum(connections[-1])
    assert measures["dense_connections"] == 20 * 40 + 3 * (40 * 30 + 30 * 4)
    assert measures["ensemble_accuracy"] >= measures["member_accuracy"] - 0.05
    assert 0 < measures["ensemble_disagreement"] < 1
    assert (method in ("snfs", "chts")) == ("method_bytes" in measures)
    assert [layer.shape for layer in result.network.layers] == [(40, 20), (30, 40), (4, 30)]


def test_a_head_starts_as_a_single_network_would_and_loses_what_it_grows(build):
    """Initial weights are drawn for the head's own inputs, not for those of all heads."""
    work = small_work(build, **{**SMALL, "topology": {"name": "set", "density": 0.5}})
    method = neurotrails.within(work.topology, HEADS)
    wide = HEADS.wide(work.model.shapes(20, 4))
    counts, single = method.connections(wide), work.topology.connections(HEADS.single(wide))
    assert counts == [single[0], 2 * single[1], 2 * single[2]]
    headed = neurotrails.HeadedWork.of(
        work, 2, model=TrunkAndHeads(work.model, HEADS), topology=method
    )
    network = build_network(headed)
    (own, wider) = (layer.weights().data for layer in
                    (build_network(work).layers[2], network.layers[2]))  # fmt: skip
    assert np.abs(wider).max() == pytest.approx(np.abs(own).max(), rel=0.1)


def test_members_predict_as_their_blocks_do(build):
    result, network = train_heads(build, model={"name": "mlp", "hidden": [40, 30],
                                                "activation": "srelu"})  # fmt: skip
    work = small_work(build, **SMALL, model={"name": "mlp", "hidden": [40, 30],
                                             "activation": "srelu"})  # fmt: skip
    X = work.data.test.batch(np.arange(20))[0]
    Z = network.outputs(X).copy()
    for number in range(3):
        single = neurotrails.member(network, Heads(3, 1), number).network(work)
        np.testing.assert_allclose(single.outputs(X), Z[4 * number : 4 * number + 4], atol=1e-5)
    assert result.measures["test_accuracy"] is not None


def test_heads_walk_the_same_trajectory_on_all_backends(build):
    losses = {}
    for backend in ("scipy-csr", "numba-csr", "dense-mask"):
        losses[backend] = []
        train_heads(
            build, backend=backend, topology={"name": "set", "epsilon": 4, "update_every": 5},
            progress=lambda epoch, step, loss, to=losses[backend]: to.append(loss),
        )  # fmt: skip
    check_trajectory(losses)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"topology": "dense"}, "Dense decides over whole layers"),
        ({"topology": {"name": "srigl", "density": 0.2}}, "SRigL decides over whole layers"),
        ({"topology": "snip"}, "places its first connections by whole layers"),
        ({"topology": "pals"}, "Pals decides the density of whole layers"),
        ({"model": {"name": "mlp", "hidden": [40]}}, "heads of 2 layers leave no trunk"),
        ({"model": {"name": "mlp", "hidden": [40, 30], "compact_every": 1}}, "compact_every"),
    ],
)
def test_what_heads_cannot_share_is_refused(build, given, why):
    trainer = build("trainer", "neurotrails")
    with pytest.raises(Unsupported, match=why):
        trainer.run(small_work(build, **{**SMALL, **given}))
