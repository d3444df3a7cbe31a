"""What parallel training is made of, without processes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import Blobs, small_work
from sparsebench_parallel.mpi.averaging import UnionMean, pruned_to, weakest_dropped
from sparsebench_parallel.mpi.messages import FlatValues, poll_until, raw
from sparsebench_parallel.mpi.plan import Plan, refuse_narrow_velocity, scale_velocity
from sparsebench_parallel.mpi.topology_diff import (
    FULL,
    MOVED,
    SAME,
    change_between,
    decode,
    encode,
    retained,
)
from sparsebench_parallel.partition import part_of, seed_of, stream_of
from sparsebench_plugins.backends.scipy_csr import ScipyCsrLayer

from sparsebench import testing
from sparsebench.core.sparse.csr import AppliedChange, CsrMatrix, CsrPattern
from sparsebench.core.training.build_network import build_network
from sparsebench.errors import Unsupported
from sparsebench.testing.backends import check_assignment, check_step


def pattern(shape, *keys) -> CsrPattern:
    return CsrPattern.from_keys(shape, np.array(sorted(keys), dtype=np.int64))


def matrix(shape, values) -> CsrMatrix:
    """From {key: value}."""
    keys = sorted(values)
    data = np.array([values[key] for key in keys], dtype=np.float32)
    return CsrMatrix(pattern(shape, *keys), data)


def as_dict(W: CsrMatrix) -> dict[int, float]:
    return dict(zip(W.pattern.keys().tolist(), W.data.tolist(), strict=True))


positions = st.sets(st.integers(0, 34))


@st.composite
def two_topologies(draw):
    old, new = draw(positions), draw(positions)
    return pattern((5, 7), *old), pattern((5, 7), *new)


# --- differences ----------------------------------------------------------------------


@given(two_topologies())
def test_a_change_between_makes_the_new_topology_of_the_old(both):
    old, new = both
    change = change_between(old, new)
    made = AppliedChange(old, change).pattern
    assert np.array_equal(made.indptr, new.indptr)
    assert np.array_equal(made.indices, new.indices)


@given(st.lists(two_topologies(), min_size=1, max_size=4))
def test_what_is_encoded_is_decoded(layers):
    old, new = [a for a, _ in layers], [b for _, b in layers]
    sent = encode(old, new)
    for before, after, change in zip(old, new, decode(sent, old), strict=True):
        made = before if change is None else AppliedChange(before, change).pattern
        assert np.array_equal(made.keys(), after.keys())


def test_the_smaller_way_is_taken():
    old = pattern((3, 20), *range(0, 60, 2))
    for new, kind, size in (
        (old, SAME, 0),
        (pattern((3, 20), *range(2, 61, 2)[:29], 1), MOVED, 1 + 2),
        (pattern((3, 20), *range(1, 60, 2)), FULL, 4 + 30),
        (pattern((3, 20)), FULL, 4),
    ):
        sent = encode([old], [new])
        assert sent.table[0, 0] == kind
        assert sent.positions.size == size
        assert sent.positions.dtype == np.int32
        assert sent.nbytes == 24 + 4 * size


def test_many_connections_travel_as_wide_integers():
    narrow = pattern((2, 2), 0, 3)
    wide = CsrPattern((2, 2), narrow.indptr.astype(np.int64), narrow.indices.astype(np.int64))
    moved = pattern((2, 2), 1, 3)
    assert encode([wide], [moved]).positions.dtype == np.int64


# --- RetainValidUpdates ---------------------------------------------------------------


def test_retain_valid_updates_by_numbers():
    """Of connections 0, 2, 3, 7 the third is gone, and 1 and 8 are new."""
    old, new = pattern((3, 3), 0, 2, 3, 7), pattern((3, 3), 0, 1, 2, 7, 8)
    g, kept = retained(old, new, np.array([1, 2, 3, 4], dtype=np.float32))
    assert g.tolist() == [1, 0, 2, 4, 0]
    assert kept == 3


def test_retain_valid_updates_of_nothing():
    empty, some = pattern((3, 3)), pattern((3, 3), 1, 4)
    g, kept = retained(empty, some, np.empty(0, dtype=np.float32))
    assert (g.tolist(), kept) == ([0, 0], 0)
    g, kept = retained(some, empty, np.ones(2, dtype=np.float32))
    assert (g.size, kept) == (0, 0)


# --- averaging ------------------------------------------------------------------------


def test_the_average_on_the_union_by_numbers():
    mean = UnionMean((2, 3))
    mean.add(matrix((2, 3), {0: 1.0, 1: -2.0, 4: 0.5}))
    mean.add(matrix((2, 3), {0: 3.0, 2: 4.0, 4: -0.5}))
    found = mean.mean()
    assert as_dict(found) == {0: 2.0, 1: -1.0, 2: 2.0, 4: 0.0}
    assert mean.mean_connections == 3
    assert as_dict(pruned_to(found, 3)) == {0: 2.0, 1: -1.0, 2: 2.0}


@given(
    st.dictionaries(
        st.integers(0, 34),
        st.floats(-(2.0**90), 2.0**90, width=32, allow_subnormal=False),
        max_size=20,
    ),
    st.integers(1, 7),
)
def test_the_average_of_identical_models_is_that_model(values, models):
    W, mean = matrix((5, 7), values), UnionMean((5, 7))
    for _ in range(models):
        mean.add(W)
    found = pruned_to(mean.mean(), mean.mean_connections)
    assert np.array_equal(found.pattern.keys(), W.pattern.keys())
    assert np.array_equal(found.data, W.data)


def test_the_weakest_of_each_sign_go_in_proportion():
    """Half of six positive and half of two negative; then one short, which is of the sign whose
    share was cut by more."""
    w = np.array([3, -1, 1, 2, 6, 5, -4, 4], dtype=np.float32)
    assert np.flatnonzero(~weakest_dropped(w, 4)).tolist() == [0, 1, 2, 3]
    # 3 of 8: shares 2.25 and 0.75, so that the negative sign gives the third
    assert np.flatnonzero(~weakest_dropped(w, 3)).tolist() == [1, 2, 3]
    # 1 of 8: shares 0.75 and 0.25
    assert np.flatnonzero(~weakest_dropped(w, 1)).tolist() == [2]


def test_ties_go_to_the_positive_sign_and_the_earlier_connection():
    w = np.array([-2, 2, 2, -2], dtype=np.float32)
    assert np.flatnonzero(~weakest_dropped(w, 1)).tolist() == [1]


@given(
    st.lists(st.floats(-9, 9, width=32, allow_subnormal=False), max_size=30),
    st.integers(0, 30),
)
def test_exactly_so_many_go(values, count):
    w = np.array(values, dtype=np.float32)
    count = min(count, w.size)
    keep = weakest_dropped(w, count)
    assert np.count_nonzero(~keep) == count
    for sign in (w >= 0, w < 0):
        gone, left = np.abs(w[sign & ~keep]), np.abs(w[sign & keep])
        assert gone.size == 0 or left.size == 0 or gone.max() <= left.min()


def test_fewer_connections_than_asked_for_stay():
    W = matrix((2, 3), {0: 1.0, 4: 0.5})
    assert pruned_to(W, 5) is W


# --- partitions -----------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 9), st.integers(0, 3))
def test_parts_share_the_samples(samples, workers, batch, seed):
    if workers > samples:
        with pytest.raises(Unsupported, match=f"set at most {samples}"):
            part_of(samples, workers, 0, seed)
        return
    parts = [part_of(samples, workers, k, seed) for k in range(workers)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(samples))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    whole = samples // (workers * batch) * batch
    if whole == 0:
        with pytest.raises(Unsupported, match="remainder = 'keep'"):
            part_of(samples, workers, 0, seed, batch)
        return
    dropped = [part_of(samples, workers, k, seed, batch) for k in range(workers)]
    assert [len(rows) for rows in dropped] == [whole] * workers
    assert all(set(a) <= set(b) for a, b in zip(dropped, parts, strict=True))


def test_a_single_worker_has_the_samples_as_they_come():
    assert part_of(10, 1, 0, 0).tolist() == list(range(10))
    assert part_of(10, 1, 0, 0, 3).tolist() == list(range(9))


def test_a_part_gives_its_own_samples(build):
    work = small_work(build)
    plan = Plan.of(build("trainer", {"name": "wasap", "workers": 3}).options(), work)
    part, whole, rows = plan.part(1).data.train, work.data.train, plan.rows(1)
    assert part.targets.tolist() == whole.targets[rows].tolist()
    assert np.array_equal(part.batch(np.array([2, 0]))[0], whole.batch(rows[[2, 0]])[0])
    assert (part.features, len(part)) == (whole.features, 110)


def test_streams_and_seeds_of_workers_differ_and_the_first_has_the_trials():
    assert (seed_of(5, 0), stream_of(0)) == (5, ())
    assert len({seed_of(5, k) for k in range(5)}) == 5
    assert len({stream_of(k) for k in range(5)}) == 5


# --- rates ----------------------------------------------------------------------------


def test_warm_up_by_numbers(build):
    """Four workers, 10 steps an epoch: 1, 1.6, 2.2, 2.8, 3.4, 4, 4, ... times the rate."""

    def plan_of(**given):
        trainer = build("trainer", {"name": "wassp", "workers": 4, **given})
        return Plan.of(trainer.options(), small_work(build, batch_size=9))

    plan = plan_of()
    assert max(plan.batches) == 10
    factors = [plan.factor(10 * epoch + 1) for epoch in range(8)]
    assert np.allclose(factors, [1, 1.6, 2.2, 2.8, 3.4, 4, 4, 4])
    assert plan.factor(10) == 1
    assert plan.rate(0.1, 21) == pytest.approx(0.22)
    assert [plan.correction(t) for t in (1, 10, 11)] == [1, 1, pytest.approx(1.6)]
    fixed = plan_of(base=0.01, correction=False)
    assert fixed.rate(0.5, 1) == 0.01
    assert fixed.correction(11) == 1
    assert plan_of(warm_epochs=0).factor(1) == 4
    assert plan_of(scaling=False).rate(0.5, 90) == 0.5


@pytest.mark.parametrize("backend", ["numba-csr", "scipy-csr", "dense-mask"])
def test_momentum_correction_reaches_every_velocity(build, backend):
    model = {"name": "mlp", "hidden": [8], "activation": "srelu"}
    work = small_work(build, backend=backend, model=model)
    network = build_network(work)
    X, y = work.data.train.batch(np.arange(16))
    for t in (1, 2):
        network.train_step(X, y, 0.1, t)
    before = {name: np.array(array) for name, array in network.saved()}
    values = [np.array(value) for value in network.values()]
    states = [layer.state()["velocity"].copy() for layer in network.layers]
    scale_velocity(network, work.optimizer, 3.0)
    after = dict(network.saved())
    scaled = [name for name in before if not np.array_equal(before[name], after[name])]
    assert len(scaled) == 2 * 2 + 4
    for name in scaled:
        assert np.allclose(after[name], 3 * before[name]), name
    for layer, state in zip(network.layers, states, strict=True):
        assert np.allclose(layer.state()["velocity"], 3 * state)
    for now, then in zip(network.values(), values, strict=True):
        assert np.array_equal(now, then)
    network.train_step(X, y, 0.1, 3)


def test_momentum_correction_leaves_other_rules_alone(build):
    work = small_work(build, optimizer={"name": "adam"})
    network = build_network(work)
    before = [np.array(array) for _, array in network.saved()]
    scale_velocity(network, work.optimizer, 3.0)
    for (_, now), then in zip(network.saved(), before, strict=True):
        assert np.array_equal(now, then)


def test_momentum_correction_of_a_short_type_is_refused(build):
    work = small_work(build, backend={"name": "numba-csr", "momenta": "bfloat16"})
    with pytest.raises(Unsupported, match="correction = false"):
        refuse_narrow_velocity(build_network(work), work.optimizer)
    work = small_work(build)
    refuse_narrow_velocity(build_network(work), work.optimizer)


# --- what both sides know ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("trainer", "together", "epochs"),
    [
        ({"name": "wasap"}, 7, 10),
        ({"name": "wasap", "local": 0.0}, 10, 10),
        ({"name": "wasap", "local": 0.99}, 1, 10),
        ({"name": "wasap", "as_published": True}, 8, 11),
        ({"name": "wasap", "as_published": True, "extra_pass": False}, 7, 10),
        ({"name": "wassp"}, 10, 10),
        ({"name": "wassp", "as_published": True}, 8, 11),
    ],
)
def test_epochs_of_the_two_phases(build, trainer, together, epochs):
    options = build("trainer", trainer).options()
    plan = Plan.of(options, small_work(build, epochs=10))
    assert (plan.together, plan.work.epochs) == (together, epochs)
    assert plan.apart == (together < epochs)


def test_batches_of_each_worker(build):
    options = build("trainer", {"name": "wasap", "workers": 4}).options()
    plan = Plan.of(options, small_work(build, epochs=10, batch_size=41))
    assert plan.batches == (2, 3, 2, 3)  # 82, 83, 82 and 83 samples
    assert (plan.rate(0.5, 90), plan.correction(90)) == (0.5, 1.0)


def test_as_published_is_a_set_of_options(build):
    released = build("trainer", {"name": "wassp", "as_published": True}).options()
    assert released.remainder == "drop"
    assert released.target == "master"
    assert released.overwritten
    assert released.base == 0.01
    assert released.local == 0.3
    assert released.local_scaling
    own = build("trainer", {"name": "wassp"}).options()
    assert (own.remainder, own.target, own.local) == ("keep", "workers", 0.0)
    assert own.base is None
    kept = {"name": "wasap", "as_published": True, "overwritten": False, "remainder": "keep"}
    mixed = build("trainer", kept).options()
    assert (mixed.overwritten, mixed.remainder, mixed.target) == (False, "keep", "master")


@pytest.mark.parametrize("activation", ["relu", "srelu"])
def test_flat_is_what_a_network_has(build, activation):
    model = {"name": "mlp", "hidden": [8, 5], "activation": activation}
    network = build_network(small_work(build, model=model))
    flat = FlatValues(network)
    array = flat.packed(network.values())
    assert np.array_equal(array, np.concatenate(network.values()))
    assert [view.size for view in flat.views(array)] == [v.size for v in network.values()]
    assert len(flat.parts) == (4 if activation == "srelu" else 3)
    joined = np.concatenate([array[part] for part in flat.parts])
    assert np.array_equal(joined, array)
    assert flat.fitting(array) is array
    assert flat.fitting(array[1:]).size == flat.size


def test_a_trainer_alone_says_what_it_needs(build):
    for team in (None, SimpleNamespace(rank=0, size=2, comm=None)):
        with pytest.raises(Unsupported, match="needs 4 processes"):
            build("trainer", {"name": "wasap", "workers": 3}).run(small_work(build, team=team))


def test_waiting_ends_when_it_is_done():
    left = [40]

    def done() -> bool:
        left[0] -= 1
        return left[0] == 0

    assert poll_until(done) >= 0
    assert left == [0]


def test_no_class_is_left_to_one_worker():
    """Samples sorted by label: each worker has all four classes nevertheless."""
    labels = np.sort(Blobs(330, 4, 4, 0).targets)
    for worker in range(3):
        assert np.unique(labels[part_of(330, 3, worker, 0)]).size == 4


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_raw_bytes_are_those_of_the_array(shape):
    array = np.zeros(shape, dtype=np.int64)
    raw(array)[...] = 1
    assert (array == 0x0101010101010101).all()


# --- the kit --------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["srelu", "all-relu"])
def test_values_go_in_and_out_of_a_model(build, activation):
    model = build("model", {"name": "mlp", "hidden": [7, 5], "activation": activation})
    testing.check_model(model, build("optimizer", {"name": "sgd", "momentum": 0.9}))


class Tied(ScipyCsrLayer):
    """Keeps the array it is assigned."""

    def assign(self, data, bias):
        self.data, self._bias[...] = data, bias


class Deaf(ScipyCsrLayer):
    """Takes the step of its own gradient whatever it is given."""

    def step_by(self, DW, Db, rate, t):
        self.step(rate, t)


@pytest.mark.parametrize(
    ("layer", "check", "message"),
    [
        (Tied, check_assignment, "weights after assign 1"),
        (Deaf, check_step, "after step_by"),
    ],
)
def test_the_kit_flags_a_layer_that(build, layer, check, message):
    backend = SimpleNamespace(layer=layer)
    with pytest.raises(AssertionError, match=message):
        check(backend, build("optimizer", {"name": "sgd", "momentum": 0.9}), (5, 7), 20, 4)


@pytest.mark.parametrize("extra", [False, True])
def test_progress_is_reported_in_steps_of_one_process(build, extra):
    """330 samples in batches of 33 are 10 steps an epoch; of two workers' part they are 5."""
    reported = []
    work = small_work(build, epochs=4, batch_size=33, progress=lambda *args: reported.append(args))
    trainer = {"name": "wasap", "as_published": True, "extra_pass": extra}
    plan = Plan.of(build("trainer", trainer).options(), work)
    passes = plan.work.epochs
    plan.progress(5)(passes, 5 * passes, 0.5)
    plan.progress(10)(1, 1, 0.25)
    assert reported == [(4, 40, 0.5), (1, 1, 0.25)]
