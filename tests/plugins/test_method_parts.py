"""Parts of topology methods against their definitions, by numbers worked out by hand."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparsebench_plugins import full_network
from sparsebench_plugins.backends.dense_mask import DenseMask
from sparsebench_plugins.full_network import BestOfAll, full_weights, layers_of
from sparsebench_plugins.parametrisations import Strongest, Thresholds
from sparsebench_plugins.topologies import link_prediction
from sparsebench_plugins.topologies.candidates import noise
from sparsebench_plugins.topologies.wast import by_rank, importances

from sparsebench.core.methods.compose import percolation
from sparsebench.core.methods.training_position import TrainingStep, Validation
from sparsebench.core.methods.view import NetworkView, State
from sparsebench.core.nn.compaction import compacted
from sparsebench.core.nn.parametrisation import ParametrisedLayer
from sparsebench.core.protocols import LayerSignals
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern
from sparsebench.discovery import load_plugins
from sparsebench.errors import PluginError
from sparsebench.testing.fixtures import PlainDescent, UniformWeights, random_matrix, to_dense

STEP = TrainingStep(1, 10, 10, 10, True)


def matrix(dense) -> CsrMatrix:
    """The connections of a matrix are what is not 0."""
    dense = np.asarray(dense, dtype=np.float32)
    pattern = CsrPattern.from_keys(dense.shape, np.flatnonzero(dense))
    return CsrMatrix(pattern, dense[dense != 0])


W = matrix([[1.0, -2.0, 0.0], [0.5, 0.0, 4.0]])
SEEN = SimpleNamespace(W=W, gradient=np.array([3.0, -0.5, -2.0, 0.25], dtype=np.float32))


@pytest.mark.parametrize(
    ("drop", "scores"),
    [
        ({"name": "mest", "gamma": 1.0}, [4.0, 2.5, 2.5, 4.25]),
        ("snip", [3.0, 1.0, 1.0, 1.0]),
        ("sensitivity", [3.0, 0.25, 4.0, 0.0625]),
        ({"name": "sensitivity", "reciprocal": True}, [1 / 3, 4.0, 0.25, 16.0]),
        # rows sum to 3 and 4.5, columns to 1.5, 2 and 4
        ("relative-importance", [1 / 3 + 1 / 1.5, 2 / 3 + 1, 0.5 / 4.5 + 0.5 / 1.5, 4 / 4.5 + 1]),
    ],
    ids=str,
)
def test_scores_of_a_drop_criterion(build, drop, scores):
    np.testing.assert_allclose(build("drop", drop).scores(SEEN), scores, rtol=1e-6)


@pytest.mark.parametrize(("fraction", "stays"), [(0.9, [1, 1, 0, 1]), (0.1, [1, 1, 1, 1])])
def test_a_threshold_drops_what_is_below_it_up_to_the_fraction(build, fraction, stays):
    drop = build("drop", {"name": "threshold", "below": 0.7})
    assert drop.strongest(drop.scores(SEEN), fraction).tolist() == [bool(one) for one in stays]


def test_the_sigmoid_hits_both_ends_and_is_half_way_in_the_middle(build):
    schedule = build("density_schedule", {"name": "sigmoid", "curvature": 6.0})
    steps = [TrainingStep(1, 1, t, 100, False) for t in (1, 25, 50, 75, 100)]
    shares = [schedule.share(step, last=100) for step in steps]
    ends = [1 / (1 + np.exp(3)), 1 / (1 + np.exp(-3))]
    quarter = (1 / (1 + np.exp(-1.5)) - ends[0]) / (ends[1] - ends[0])
    np.testing.assert_allclose(shares[1:], [quarter, 0.5, 1 - quarter, 0.0], atol=1e-12)


def test_rounds_keep_the_same_share_of_what_is_left(build):
    given = {"name": "rounds", "rounds": 2, "begin": 0.5, "end": 0.75}
    schedule = build("density_schedule", given)
    network = SimpleNamespace(started=[1000])
    targets = []
    for epoch in (4, 5, 7, 8):
        network.step = TrainingStep(epoch, 10, epoch, 1, True)
        targets += schedule.targets(network, [10], 0.0)
    assert targets == [1000, 100, 100, 10]


def test_pals_prunes_while_the_loss_is_good_and_grows_when_it_is_not(build):
    schedule = build("density_schedule", {"name": "pals", "gamma": 1.5, "slack": 1.1})
    state, found = State(), []
    # above 0.8 it prunes whatever the loss; then by the loss against 1.1 times the best
    for count, loss in ((90, 9.0), (70, 2.0), (60, 2.3), (50, 2.1), (40, 1.0), (30, 1.2)):
        network = SimpleNamespace(
            connections=[count], shapes=[(10, 10)], state=state, validation=Validation(loss, 0.0)
        )
        found += schedule.targets(network, [10], 0.2)
    # 2.3 is worse than 2.2 and sparser than 0.7, where the best was reached: grow
    assert found == [81, 63, 66, 45, 36, 33]


def test_percolation_by_hand():
    """Of three hidden neurons in each of two layers: 1 has no way out, 2 has no way in."""
    first = matrix([[1, 1], [1, 0], [0, 0]])
    second = matrix([[1, 0, 1], [0, 0, 1], [1, 0, 0]])
    third = matrix([[1, 1, 0]])
    patterns = [layer.pattern for layer in (first, second, third)]
    keeps = [np.ones(pattern.nnz, dtype=bool) for pattern in patterns]
    found = percolation(patterns, keeps, [0, 1, 2])
    # from the last to the first: neuron 2 of the second layer goes, then neuron 1 of the first;
    # from the first to the last: neuron 2 of the first layer, then neuron 1 of the second
    assert found[0].tolist() == [True, True, False]
    assert found[1].tolist() == [True, False, False, False]
    assert found[2].tolist() == [True, False]
    assert all(keep.all() for keep in percolation(patterns, keeps, []))


def test_a_position_grows_again_with_its_last_weight(build):
    initial = build("initializer", "last")
    layer = NetworkView.of([W], UniformWeights(), STEP, state=State()).layer(0)
    keep = np.array([True, False, False, True])
    none = np.empty(0, dtype=np.int64)
    initial.values_at(layer, keep, none, none)
    rows, columns = np.array([0, 0, 1]), np.array([1, 2, 0])
    assert initial.values_at(layer, np.ones(4, dtype=bool), rows, columns).tolist() == [-2, 0, 0.5]


def test_sparse_weights_have_the_variance_of_the_fan_in(build):
    pattern = CsrPattern.full((50, 8))
    values = build("initializer", "swi").draw(pattern, 20_000, np.random.default_rng(0))
    assert values.std() == pytest.approx(np.sqrt(2 / 8), rel=0.02)


def test_an_age_of_its_own_makes_the_first_step_of_a_late_connection_as_long_as_any(build):
    """Adam's first step has the length of the rate; with one count for all it is sqrt(1000)
    times shorter at step 1000: (1 - beta1) / sqrt(1 - beta2) against 1."""
    w, g = np.zeros(1, dtype=np.float32), np.ones(1, dtype=np.float32)
    for name, slots in (("adam", 2), ("adam-by-age", 3)):
        fresh = [np.zeros(1, dtype=np.float32) for _ in range(slots)]
        w[:] = 0
        build("optimizer", name).update(w, g, fresh, 0.1, 100_000, "weight")
        expected = -0.1 * (0.1 / np.sqrt(0.001) if name == "adam" else 1.0)
        assert w[0] == pytest.approx(expected, rel=1e-4)


def test_the_dense_last_layer_is_not_in_the_density(build):
    given = {"name": "set", "density": 0.1, "allocation": "uniform", "dense_last": True}
    topology = build("topology", given)
    assert topology.connections([(20, 10), (20, 20), (5, 20)]) == [20, 40, 100]
    assert topology.takes_part(3) == [0, 1]


def test_a_layer_settles_once_it_grows_again_what_it_drops(build):
    """Growth by gradient at the positions just dropped: all of it comes back."""
    given = {"name": "dynamic", "density": 0.5, "zeta": 0.5, "settles": 0.9}
    topology = build("topology", given)

    class Same:
        signals, ranks, scans = (), False, False

        def candidates(self, layer, keep, count):
            gone = ~keep
            return SimpleNamespace(rows=layer.W.rows[gone], columns=layer.W.indices[gone])

    object.__setattr__(topology, "grow", Same())
    state = State()
    network = NetworkView.of([W, W], UniformWeights(), STEP, state=state)
    assert len(list(topology.layer_updates(network))) == 2
    assert list(topology.layer_updates(network)) == []


@pytest.mark.parametrize(
    ("scores", "problem"),
    [
        (lambda layer: layer.W.data[:-1], r"Odd.scores\(\) gives an array \(\d+,\); layer 0 has"),
        (lambda layer: np.full_like(layer.W.data, np.nan), "gives only nan for layer 0"),
    ],
)
def test_scores_that_are_none_are_refused_by_the_name_of_their_part(build, scores, problem):
    topology = build("topology", {"name": "dynamic", "density": 0.5})
    Odd = type("Odd", (), {"signals": (), "by_sign": False, "scores": lambda _, at: scores(at)})
    object.__setattr__(topology, "drop", Odd())
    network = NetworkView.of([W, W], UniformWeights(), STEP, state=State())
    with pytest.raises(PluginError, match=problem):
        list(topology.layer_updates(network))


# --- link prediction -----------------------------------------------------------------


def dense_ch3_l3(A):
    """By the definition: every path, with its local community."""
    K, D = A.shape
    S = np.zeros((K, D))
    for v in range(K):
        for u in range(D):
            paths = [
                (z1, z2)
                for z1 in range(K)
                for z2 in range(D)
                if A[z1, u] and A[z1, z2] and A[v, z2]
            ]
            inputs, outputs = {u, *(z2 for _, z2 in paths)}, {v, *(z1 for z1, _ in paths)}
            for z1, z2 in paths:
                e1 = sum(A[z1, i] for i in range(D) if i not in inputs)
                e2 = sum(A[j, z2] for j in range(K) if j not in outputs)
                S[v, u] += 1 / np.sqrt((1 + e1) * (1 + e2))
    return S


def dense_ch2_l3(A):
    def ratio(common, degrees):
        others = np.maximum(1, degrees[None, :] - common)
        found = np.where(common > 0, (common + 1) / others, 0.0)
        np.fill_diagonal(found, 0)
        return found

    by_outputs = ratio(A @ A.T, A.sum(axis=1)) @ A
    return by_outputs + (ratio(A.T @ A, A.sum(axis=0)) @ A.T).T


def path_scores(A, by_paths, rows):
    """(K, D) from the given ranges of rows."""
    pattern = CsrPattern.from_keys(A.shape, np.flatnonzero(A))
    links = link_prediction.Links(pattern, np.ones(pattern.nnz, dtype=bool))
    found = np.zeros(A.shape)
    for first, last in rows or links.blocks():
        r, c, scores = links.scores(first, last, by_paths)
        assert np.all(np.diff(r * A.shape[1] + c) > 0)
        found[r, c] = scores
    return found


@pytest.mark.parametrize("dense", [dense_ch3_l3, dense_ch2_l3])
@pytest.mark.parametrize("rows", [((0, 4), (4, 9)), None])
def test_link_prediction_is_the_definition_on_free_positions(dense, rows):
    for seed in range(5):
        A = (np.random.default_rng(seed).random((9, 7)) < 0.35).astype(float)
        found = path_scores(A, dense is dense_ch3_l3, rows)
        np.testing.assert_allclose(found, np.where(A == 0, dense(A), 0), rtol=1e-5)


def test_link_prediction_on_threads_is_the_same(monkeypatch):
    A = np.random.default_rng(0).random((30, 20)) < 0.2
    once = path_scores(A, True, None)
    monkeypatch.setattr(link_prediction, "threads_for", lambda size: contextlib.nullcontext())
    monkeypatch.setattr(link_prediction, "even_parts", lambda n: np.array([0, n // 3, n // 2, n]))
    np.testing.assert_array_equal(path_scores(A, True, None), once)


def test_ch3_l3_by_hand():
    """u - z1 - z2 - v is the only path; z1 has one more input, z2 none: 1 / sqrt(2 * 1)."""
    A = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])  # z1 is row 0, v row 1; u column 0
    assert path_scores(A, True, None)[1, 0] == pytest.approx(1 / np.sqrt(2))


def test_blocks_of_rows_cover_all_once(monkeypatch):
    monkeypatch.setattr(link_prediction, "ENTRIES", (20, 20))
    A = np.random.default_rng(0).random((30, 20)) < 0.2
    pattern = CsrPattern.from_keys(A.shape, np.flatnonzero(A))
    blocks = list(link_prediction.Links(pattern, np.ones(pattern.nnz, dtype=bool)).blocks())
    assert len(blocks) > 3
    assert [row for first, last in blocks for row in range(first, last)] == list(range(30))


def test_soft_growth_draws_in_proportion(build):
    """Of two candidates with scores 3 and 1 the first is drawn three times as often."""
    rows, columns, first = np.array([0, 1]), np.array([2, 1]), 0
    for step in range(1, 2001):
        at = TrainingStep(1, 1, step, 3000, False)
        layer = NetworkView.of([W], UniformWeights(), at).layer(0)
        first += np.argmax(np.log([3, 1]) + noise(layer, rows, columns)) == 0
    assert first / 2000 == pytest.approx(0.75, abs=0.03)


# --- where connections are at the start ----------------------------------------------


def initial(shapes, counts, X=None, seed=0):
    return SimpleNamespace(
        shapes=shapes,
        counts=counts,
        examples=lambda count: (X, None),
        rng=lambda index: np.random.default_rng([seed, index]),
    )


def patterns_of(allocation, *given, **more):
    found = list(allocation.patterns(initial(*given, **more)))
    for pattern in found:
        pattern.validate()
    return found


@pytest.mark.parametrize("name", ["receptive-field", "small-world", "scale-free"])
@pytest.mark.parametrize("nnz", [1, 40, 599, 600])
def test_placed_connections_are_as_many_as_allocated(build, name, nnz):
    (pattern,) = patterns_of(build("allocation", name), [(20, 30)], [nnz])
    assert pattern.nnz == nnz


def test_a_band_is_made_of_the_nearest(build):
    for part in ({"name": "receptive-field", "r": 0.0}, {"name": "small-world", "beta": 0.0}):
        (pattern,) = patterns_of(build("allocation", part), [(10, 10)], [30])
        away = np.abs(pattern.rows - pattern.indices)
        assert np.minimum(away, 10 - away).max() == 1


def test_receptive_fields_fall_with_the_distance(build):
    """At r 1/2 the probability at distance x is in proportion to 1 / (1 + x)."""
    allocation = build("allocation", {"name": "receptive-field", "r": 0.5})
    (pattern,) = patterns_of(allocation, [(2000, 100)], [2000])
    away = np.abs(pattern.rows * 100 // 2000 - pattern.indices)
    counts = np.bincount(np.minimum(away, 100 - away))
    assert counts[1] / counts[0] == pytest.approx(1.0, abs=0.15)  # two places, half as likely
    assert counts[9] / counts[1] == pytest.approx(0.2, abs=0.1)


def test_scale_free_degrees_follow_the_weights_of_the_ranks(build):
    (pattern,) = patterns_of(build("allocation", "scale-free"), [(500, 500)], [5000])
    for degrees in (pattern.in_degrees(), pattern.out_degrees()):
        ranked = np.sort(degrees)[::-1]
        expected = 5000 * np.arange(1, 501) ** -0.5 / (np.arange(1, 501) ** -0.5).sum()
        np.testing.assert_allclose(ranked[:20].sum(), expected[:20].sum(), rtol=0.12)
    assert patterns_of(build("allocation", "scale-free"), [(500, 500)], [5000])[0].nnz == 5000


def test_csti_takes_the_pairs_that_correlate_most(build):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4, 200))
    X[2] = -X[0] + 0.1 * rng.standard_normal(200)  # 0 and 2 correlate, 1 and 3 a little
    X[3] += 0.5 * X[1]
    first, twice = patterns_of(build("allocation", "csti"), [(4, 4), (8, 4)], [4, 4], X)
    assert set(zip(first.rows, first.indices, strict=True)) == {(0, 2), (2, 0), (1, 3), (3, 1)}
    assert set(zip(twice.rows, twice.indices, strict=True)) == {(0, 2), (2, 0), (4, 2), (6, 0)}
    (full,) = patterns_of(build("allocation", "csti"), [(4, 4)], [14], X)
    assert full.nnz == 14


# --- pruned before training ----------------------------------------------------------


class Small:
    """A tanh network of 6, 5 and 3 neurons, whose full weights are also written out."""

    shapes, counts, seed = [(5, 6), (3, 5)], [10, 5], 3

    def __init__(self, build):
        self.initializer = build("initializer", {"name": "normal", "deviation": 0.7})
        model = build("model", {"name": "mlp", "hidden": [5], "activation": "tanh"})
        loss, optimizer = build("loss", "cross-entropy"), build("optimizer", "sgd")
        self.network_of = lambda layers: model.network(layers, object(), optimizer, 0, loss)
        rng = np.random.default_rng(0)
        self.X, self.y = rng.standard_normal((6, 20)).astype(np.float32), rng.integers(3, size=20)
        layers = layers_of(self)
        self.weights = [full_weights(layer).reshape(layer.shape).astype(float) for layer in layers]

    def examples(self, count):
        return self.X, self.y

    def gradients(self, weights, temperature=1.0):
        A = np.tanh(weights[0] @ self.X)
        Z = weights[1] @ A / temperature
        P = np.exp(Z) / np.exp(Z).sum(axis=0)
        P[self.y, np.arange(20)] -= 1
        DZ = P / 20 / temperature
        return [((weights[1].T @ DZ) * (1 - A**2)) @ self.X.T, DZ @ A.T]

    def best(self, scores):
        """The 15 best of both layers, as keys."""
        order = np.argsort(-np.concatenate([one.ravel() for one in scores]), kind="stable")[:15]
        return [np.sort(order[order < 30]), np.sort(order[order >= 30]) - 30]


@pytest.fixture
def small(build):
    return Small(build)


def check_chosen(found, expected, weights):
    for W, keys, full in zip(found, expected, weights, strict=True):
        assert W.pattern.keys().tolist() == keys.tolist()
        np.testing.assert_allclose(W.data, full.ravel()[keys], rtol=1e-6)


def test_snip_keeps_the_largest_products_of_weight_and_gradient(build, small, monkeypatch):
    monkeypatch.setattr(full_network, "TILE", 13)  # of two rows, and of two and a half
    small.weights = [
        full_weights(layer).reshape(layer.shape).astype(float) for layer in layers_of(small)
    ]
    scores = [abs(w * g) for w, g in zip(small.weights, small.gradients(small.weights))]
    found = build("allocation", "snip").patterns(small)
    check_chosen(found, small.best(scores), small.weights)


def test_grasp_keeps_the_largest_products_of_weight_and_hessian_times_gradient(build, small):
    w = small.weights
    g, step = small.gradients(w, 200.0), 1e-3
    ahead, behind = (
        small.gradients([a + sign * step * b for a, b in zip(w, g)], 200.0) for sign in (1, -1)
    )
    scores = [a * (b - c) for a, b, c in zip(w, ahead, behind)]
    found = build("allocation", "grasp").patterns(small)
    check_chosen(found, small.best(scores), w)


def test_synflow_in_one_round_keeps_the_largest_flows(build, small):
    w = [abs(one) for one in small.weights]
    out = w[1].sum(axis=0)  # of each hidden neuron
    flows = [w[0] * out[:, None], w[1] * w[0].sum(axis=1)[None, :]]
    found = build("allocation", {"name": "synflow", "rounds": 1}).patterns(small)
    check_chosen(found, small.best(flows), small.weights)


def test_synflow_in_rounds_never_cuts_a_layer_off(build, small):
    """The paper's point: no layer collapses, however few connections are left."""
    small.counts = [3, 2]
    found = list(build("allocation", {"name": "synflow", "rounds": 50}).patterns(small))
    assert sum(W.nnz for W in found) == 5
    reached = found[0].pattern.in_degrees() > 0
    assert reached[found[1].indices].all()


def test_the_best_of_all_layers_leave_none_without_a_connection():
    best = BestOfAll(3, 4)
    best.add(0, 0, np.arange(10.0))
    best.add(1, 5, np.array([-3.0, -1.0, np.nan]))
    best.add(2, 0, np.array([8.5, 20.0]))
    assert [keys.tolist() for keys in best.positions()] == [[9], [6], [0, 1]]


# --- activations, importance of neurons, constant fan-in -----------------------------


def seen_by(W, X, DZ, A=None, *, step=STEP, count=1, validation=None, state=None):
    """The views of `count` equal layers for these signals of a mini-batch."""
    arrays = [None if one is None else np.array(one, dtype=np.float32) for one in (X, DZ, A)]
    batch = [LayerSignals(*arrays)] * count
    view = NetworkView.of(
        [W] * count, UniformWeights(), step, batch=batch, state=state, validation=validation
    )
    return view.layer(0)


ALIKE = {
    # the inputs point to (1, 0), (0, 1) and (1, 1); the outputs to (1, 0) and (1, -1)
    "X": [[1, 0], [0, 2], [3, 3]],
    "A": [[5, 0], [1, -1]],
}


def test_growth_by_cosine_takes_the_most_alike(build):
    W = matrix([[0, 1, 0], [1, 0, 0]])
    layer = seen_by(W, ALIKE["X"], [[0, 0]] * 2, ALIKE["A"], count=2)
    keep = np.ones(2, dtype=bool)
    # free: (0, 0) with 1, (0, 2) and (1, 1) with 0.71, (1, 2) with 0
    found = build("grow", "cosine-then-random")
    seq = seen_by(W, ALIKE["X"], [[0, 0]] * 2, ALIKE["A"], count=2, validation=Validation(1.0, 0.5))
    for grow, view in ((build("grow", "cosine"), layer), (found, seq)):
        best = grow.candidates(view, keep, 3)
        assert list(zip(best.rows, best.columns, strict=True)) == [(0, 0), (0, 2), (1, 1)]


def test_what_was_just_dropped_gives_way_to_a_random_position(build):
    W = matrix([[1, 1, 0], [1, 0, 0]])  # (0, 0) is the most alike, and dropped
    layer = seen_by(W, ALIKE["X"], [[0, 0]] * 2, ALIKE["A"], count=2)
    found = build("grow", "cosine").candidates(layer, np.array([False, True, True]), 1)
    assert (found.rows.size, found.scores) == (1, None)
    assert (int(found.rows[0]), int(found.columns[0])) != (0, 1)


def test_growth_turns_random_once_the_score_does_not_improve(build):
    grow, state = build("grow", {"name": "cosine-then-random", "patience": 2}), State()
    for score, waits in ((0.5, 0), (0.6, 0), (0.6, 1), (0.7, 0), (0.1, 1), (0.2, 2), (0.9, 2)):
        layer = seen_by(
            W, np.ones((3, 2)), np.ones((2, 2)), np.ones((2, 2)),
            count=2, validation=Validation(1.0, score), state=state,
        )  # fmt: skip
        grow.candidates(layer, np.ones(4, dtype=bool), 1)
        assert state.arrays["ctre", 0][1] == waits


@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_best_products_are_among_those_of_high_ranks(count):
    rng = np.random.default_rng(0)
    outputs, inputs = rng.random(9).astype(np.float32), rng.integers(3, size=12).astype(np.float32)
    rows, columns = by_rank(outputs, inputs, count, rng)
    assert np.unique(rows * 12 + columns).size == rows.size
    found = np.sort(outputs[rows] * inputs[columns])[::-1][:count]
    expected = np.sort(np.outer(outputs, inputs).ravel())[::-1][:count]
    np.testing.assert_array_equal(found, expected)


def test_importance_sums_errors_and_weights_of_the_networks_ends(build):
    """One layer, so both ends are the network's."""
    grow = build("grow", {"name": "neuron-importance", "share": 0.25})
    layer = seen_by(W, np.zeros((3, 2)), np.zeros((2, 2)))
    DZ = np.array([[1.0, -1.0], [2.0, 0.0]], dtype=np.float32)
    for _ in range(2):
        grow.after_backward(layer, layer.X, DZ)
    outputs, inputs = importances(layer)
    np.testing.assert_allclose(outputs, 2 * (0.25 * np.array([2, 2]) + 0.75 * np.array([3, 4.5])))
    errors = np.abs(np.array([[1, 0.5], [-2, 0], [0, 4]]) @ DZ).sum(axis=1)
    np.testing.assert_allclose(inputs, 2 * (0.25 * errors + 0.75 * np.array([1.5, 2, 4])))
    scores = build("drop", "neuron-importance").scores(layer)
    assert scores[1] == pytest.approx(2.0 * outputs[0] * inputs[1])


def test_srigl_gives_each_living_neuron_as_many_inputs(build):
    """Neuron 2 has no salient connection: its weights are the smallest and its gradients 0."""
    weights = np.zeros((4, 8))
    weights[0, :4], weights[1, :4] = [9, 8, 7, 6], [9, 8, 7, 5]
    weights[2, :2], weights[3, :2] = [0.1, 0.2], [5, 4]
    given = {"name": "srigl", "density": 0.4, "zeta": 0.4, "least_salient": 0.3}
    topology = build("topology", given)
    X, DZ = np.eye(8)[:, :4], np.diag([1.0, 2.0, 0.0, 3.0])
    step = TrainingStep(1, 10, 1, 1000, False)
    arrays = [one.astype(np.float32) for one in (X, DZ)]
    view = NetworkView.of(
        [matrix(weights)] * 2, UniformWeights(), step, batch=[LayerSignals(*arrays)] * 2
    )
    hidden, last = topology.layer_updates(view)
    after = matrix(weights).apply(hidden.change)
    assert after.pattern.in_degrees().tolist() == [4, 4, 0, 4]
    assert after.pattern.indices[after.rows == 1].tolist() == [0, 1, 2, 3]
    assert {0, 1, 3} <= set(after.indices[after.rows == 3].tolist())  # 3 by its gradient
    assert matrix(weights).apply(last.change).pattern.in_degrees().tolist() == [3, 3, 3, 3]


def test_acdc_is_full_and_sparse_in_turn(build):
    schedule, sparse = build("density_schedule", "full-and-sparse"), []
    for epoch in range(1, 201):
        network = SimpleNamespace(step=TrainingStep(epoch, 200, epoch, 1, True), shapes=[(9, 9)])
        (count,) = schedule.targets(network, [8], 0.0)
        if not sparse or (sparse[-1][1] == 8) != (count == 8):
            sparse.append((epoch, count))
    turns = [(1, 81), (10, 8), (30, 81), (50, 8), (70, 81), (90, 8), (110, 81), (130, 8), (150, 81)]
    assert sparse == [*turns, (170, 8)]


# --- steps of other parametrisations -------------------------------------------------


def stepped(optimizer, w, g, slots, times=1, kind="weight"):
    w = np.array(w, dtype=np.float32)
    state = [np.zeros_like(w) for _ in range(slots)]
    for t in range(1, times + 1):
        optimizer.update(w, np.array(g, dtype=np.float32), state, 0.1, t, kind)
    return w, state


def test_a_step_of_powerpropagation(build):
    """theta = 2 has w = 4 and dw/dtheta = 4: theta - 0.1 * 4 * 0.5 = 1.8, w = 3.24."""
    optimizer = build("optimizer", {"name": "powerprop", "power": 2.0})
    assert stepped(optimizer, [4.0, -4.0, 0.0], [0.5, -0.5, 1.0], 0)[0] == pytest.approx(
        [3.24, -3.24, 0.0]
    )
    assert stepped(optimizer, [4.0], [0.5], 0, kind="bias")[0] == pytest.approx([3.95])


def test_steps_of_linearised_bregman_iterations(build):
    """v starts at w + 0.3 sign(w); a weight of 0 waits until its gradients add up to 0.3."""
    optimizer = build("optimizer", {"name": "linbreg", "strength": 0.3})
    w, (dual,) = stepped(optimizer, [0.5, 0.0, -0.05], [1.0, -1.0, -1.0], 1)
    assert dual == pytest.approx([0.7, 0.1, -0.25])
    assert w == pytest.approx([0.4, 0.0, 0.0])
    w, (dual,) = stepped(optimizer, [0.5, 0.0, -0.05], [1.0, -1.0, -1.0], 1, times=4)
    assert w == pytest.approx([0.1, 0.1, 0.0])
    w, _ = stepped(optimizer, [0.5], [1.0], 1, kind="bias")
    assert w == pytest.approx([0.4])


def test_the_first_step_of_adabreg_has_the_length_of_the_rate(build):
    optimizer = build("optimizer", {"name": "adabreg", "strength": 0.3})
    w, (dual, *_) = stepped(optimizer, [0.5, 0.0], [7.0, -7.0], 3)
    assert dual == pytest.approx([0.7, 0.1])
    assert w == pytest.approx([0.4, 0.0])


# --- neurons -------------------------------------------------------------------------


def test_half_of_the_neurons_go_and_no_more(build):
    pruning = build("pruning", {"name": "neurons", "share": 0.3, "least": 0.5})
    sums = np.array([5.0, 1, 4, 2, 3, 6, 7, 8], dtype=np.float32)
    layer = SimpleNamespace(row_sums_of_magnitude=lambda: sums)
    alive = np.ones(8, dtype=bool)
    for gone in ([1, 3, 4], [2], []):
        removed = pruning.remove(layer, alive, 8)
        assert np.flatnonzero(removed).tolist() == gone
        alive &= ~removed


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_a_compact_network_computes_the_same(seed):
    """A tanh network with biases, so that a neuron without a way in is a constant."""
    rng = np.random.default_rng(seed)
    sizes = [5, *rng.integers(1, 9, size=3), 2]
    parts = []
    for D, K in pairwise(sizes):
        dense = rng.standard_normal((K, D)) * (rng.random((K, D)) < 0.25)
        parts.append((matrix(dense), rng.standard_normal(K).astype(np.float32)))

    def outputs_of(layers, X):
        for index, (W, bias) in enumerate(layers):
            Z = to_dense(W) @ X + bias[:, None]
            X = np.tanh(Z) if index < len(layers) - 1 else Z
        return X

    small, alive = compacted(parts, lambda index, z: np.tanh(z))
    X = rng.standard_normal((5, 4))
    np.testing.assert_allclose(outputs_of(small, X), outputs_of(parts, X), atol=1e-5)
    for (W, bias), mask in zip(small, alive, strict=True):
        W.validate()
        assert W.shape[0] == bias.size == mask.sum() >= 1
    for (below, _), (above, _) in pairwise(small):
        assert below.shape[0] == above.shape[1]
        if below.shape[0] > 1:
            assert (below.pattern.in_degrees() > 0).all()
            assert (above.pattern.out_degrees() > 0).all()


# --- any sentence --------------------------------------------------------------------

PLUGINS = load_plugins()
NAMES = {
    kind: [entry.name for entry in PLUGINS[kind]] for kind in ("drop", "grow", "redistribution")
}
SENTENCES = st.fixed_dictionaries(
    {
        "drop": st.sampled_from(NAMES["drop"]),
        "grow": st.sampled_from(NAMES["grow"]),
        "redistribution": st.sampled_from(NAMES["redistribution"]),
        "zeta": st.sampled_from([0.0, 0.3, 0.9]),
        "percolates": st.booleans(),
        "dense_last": st.booleans(),
        "keeps_regrown": st.booleans(),
        "grown": st.sampled_from(["zeros", "last", "swi"]),
    }
)


@given(SENTENCES, st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_laws_of_any_sentence(sentence, seed):
    """Connections stay as many, sorted and each once; kept ones keep their weights, and state
    follows them."""
    if sentence["redistribution"] == "global" and not component("grow", sentence["grow"]).ranks:
        sentence = {**sentence, "redistribution": "none"}
    topology = component("topology", {"name": "dynamic", "density": 0.3, **sentence})
    network, layers = random_view(seed)
    state = network.state
    for index, W in enumerate(layers):
        state.connection("weights", index, W.nnz)[:] = W.data
        if topology.needs.every_step:
            view = network.layer(index)
            topology.after_backward(view, view.X, view.DZ)
    total = 0
    for index, (W, update) in enumerate(zip(layers, topology.layer_updates(network), strict=True)):
        change = update.change or Change.drop(np.ones(W.nnz, dtype=bool))
        after = W.apply(change)
        after.validate()
        total += after.nnz
        state.carry(index, AppliedChange(W.pattern, change))
        stayed = np.isin(after.pattern.keys(), W.pattern.keys()[change.keep])
        assert np.array_equal(after.data[stayed], W.data[change.keep])
        carried = state.connection("weights", index, after.nnz)
        assert np.array_equal(carried[stayed], W.data[change.keep])
        assert not carried[~stayed].any()
    assert total == sum(W.nnz for W in layers)


def component(kind, given_):
    return PLUGINS.build(kind, PLUGINS.validate(kind, given_, kind))


def random_view(seed):
    rng = np.random.default_rng(seed)
    shapes = [(9, 7), (8, 9), (3, 8)]
    layers = [random_matrix((K, D), int(rng.integers(1, K * D)), rng) for K, D in shapes]

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    batch = [LayerSignals(normal(D, 5), normal(K, 5), normal(K, 5)) for K, D in shapes]
    momentum = [normal(W.nnz) for W in layers]
    view = NetworkView.of(
        layers, UniformWeights(), STEP, seed=seed, batch=batch, momentum=momentum, state=State(),
        validation=Validation(1.0, 0.5),
    )  # fmt: skip
    return view, layers


# --- weights that are a function of what is trained ----------------------------------


def test_weights_below_the_threshold_of_their_neuron_are_zero():
    by = Thresholds(penalty=0.5)
    own = {"thresholds": np.array([0.3, 0.0], dtype=np.float32)}
    theta = np.array([0.5, -0.1, 0.2, -2.0], dtype=np.float32)  # W's pattern: two in each row
    assert by.weights(theta, W.pattern, own).tolist() == pytest.approx([0.5, 0, 0.2, -2.0])
    DW = np.array([1.0, 1.0, 3.0, 1.0], dtype=np.float32)
    # over the threshold by 0.2, -0.2, 0.2 and 2.0: slopes 1.2, 1.2, 1.2 and 0
    of_theta, of_own = by.gradients(theta, W.pattern, own, DW)
    mask = np.array([1.2 * 0.5, 1.2 * -0.1, 3 * 1.2 * 0.2, 0.0])
    np.testing.assert_allclose(of_theta, DW * [1, 0, 1, 1] + mask * np.sign(theta), rtol=1e-5)
    pulls = 0.5 * np.exp([-0.3, 0.0])
    sums = [mask[:2].sum(), mask[2:].sum()]
    np.testing.assert_allclose(of_own["thresholds"], -np.array(sums) - pulls, rtol=1e-5)


def test_thresholds_start_again_where_next_to_nothing_is_left():
    own = {"thresholds": np.array([9.0, 9.0], dtype=np.float32)}
    Thresholds(0.5).after_step(W.data, W.pattern, own)
    assert own["thresholds"].tolist() == [0, 0]


def test_top_kast_shows_the_largest_and_trains_more():
    by = Strongest(share=0.5, penalty=0.1, density=0.25)
    assert by.weights(W.data, W.pattern, {}).tolist() == [0, -2, 0, 4]
    gradient, own = by.gradients(W.data, W.pattern, {}, np.ones(4, dtype=np.float32))
    np.testing.assert_allclose(gradient, [1 + 0.4, 1 - 0.2, 1 + 0.2, 1 + 0.4], rtol=1e-6)
    assert own == {}


def layer_of(parametrisation, weights=W):
    optimizer = PlainDescent()
    inner = DenseMask().layer(
        CsrMatrix(weights.pattern, weights.data.copy()), np.zeros(2, dtype=np.float32), optimizer
    )
    return ParametrisedLayer(weights.data, inner, parametrisation, optimizer)


def test_a_parametrised_layer_trains_what_it_does_not_show():
    """Steps by a gradient of 1 at rate 1/2, momentum 1/2."""
    layer = layer_of(Strongest(share=0.5, penalty=0.0, density=1.0))
    for t, shown in ((1, [0, -2.5, 0, 3.5]), (2, [0, -3.25, 0, 2.75])):
        layer.step_by(np.ones(4, np.float32), np.ones(2, np.float32), 0.5, t)
        np.testing.assert_allclose(layer.weights().data, shown)
    assert layer.parameters().data.tolist() == [-0.25, -3.25, -0.75, 2.75]
    assert layer.bias().tolist() == [-1.25, -1.25]


def test_a_parametrised_layer_follows_changes_and_checkpoints():
    by = Thresholds(penalty=0.5)
    layer = layer_of(by)
    g, b = np.array([1, 2, 3, 4], dtype=np.float32), np.ones(2, dtype=np.float32)
    layer.step_by(g, b, 0.1, 1)
    grown = np.array([7.0], dtype=np.float32)
    change = Change(np.array([True, True, False, True]), np.array([0]), np.array([2]), grown)
    layer.apply_change(change)
    assert layer.parameters().data[2] == 7.0
    assert layer.state()["momentum"].tolist()[2:] == [0.0, pytest.approx(4.0, abs=1.0)]
    saved = {name: np.array(array) for name, array in layer.saved()}
    again = layer_of(by, CsrMatrix(layer.weights().pattern, layer.weights().data))
    again.assign(layer.weights().data, layer.bias())
    again.restore(saved)
    for one in (layer, again):
        one.step_by(g, b, 0.1, 2)
    assert np.array_equal(layer.weights().data, again.weights().data)
    assert np.array_equal(layer.parameters().data, again.parameters().data)
