"""The compiled step on csr inputs: the trajectory of the layers, the same bits for any threads and
however often somebody looks at the weights, and no array of all inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from compiled_network import (
    ADAM,
    NESTEROV,
    PLAIN,
    SGD,
    assert_same,
    batch,
    change_topology,
    network,
)
from scipy import sparse
from small import prepare, small_work
from sparsebench_plugins.backends.numba_csr import csr_passes
from sparsebench_plugins.backends.numba_csr.compiled_step import batch_split as splits
from sparsebench_plugins.backends.numba_csr.compiled_step import csr_operations
from sparsebench_plugins.backends.numba_csr.compiled_step.helper_threads import HELPERS

from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.prepare import Examples
from sparsebench.core.data.samples import CsrSamples, Parts
from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.training.loop import train
from sparsebench.core.training.warmup import warm_up

pytestmark = pytest.mark.skipif(
    bool(getattr(numba.config, "DISABLE_JIT", False)), reason="steps are compiled"
)

WIDE = (400, 33, 17, 5)
BFLOAT16 = {"activations": "bfloat16", "momenta": "bfloat16"}


def csr_of(N: int, sizes: tuple[int, ...] = WIDE, seed: int = 0) -> tuple[CsrBatch, Any]:
    """A batch whose every third sample is empty, and its labels."""
    X, T = batch(N, sizes, seed)
    X *= np.random.default_rng(seed).random(X.shape) < 0.05
    X[:, ::3] = 0
    return CsrBatch.of(X), T


def walk_together(steps: int, N: int, sizes: tuple[int, ...] = WIDE, **parts: Any) -> None:
    compiled, layers = (network(step, sizes=sizes, **parts) for step in ("compiled", "layers"))
    for t in range(1, steps + 1):
        X, T = csr_of(N, sizes, seed=t)
        losses = [net.train_step(X, T, 0.05, t) for net in (compiled, layers)]
        assert np.isclose(*losses, atol=1e-4), t
        if t == steps // 2:
            change_topology(compiled, 1)
            change_topology(layers, 1)
        elif t % 3 == 0:
            look, _ = csr_of(N + 7, sizes, seed=t + 100)
            outputs = [net.outputs(look) for net in (compiled, layers)]
            assert np.allclose(*outputs, atol=1e-4)
    assert (compiled.step_way, layers.step_way) == ("compiled", "layers")
    assert_same(compiled, layers)


@pytest.mark.parametrize("N", [1, 3, 8, 9, 31, 50, 100, 128, 200, 450])
def test_batches_of_all_sizes(N: int) -> None:
    walk_together(7, N)


@pytest.mark.parametrize("optimizer", [SGD, NESTEROV, PLAIN, ADAM, {"name": "sgd"}])
def test_optimizers(optimizer: Any) -> None:
    """Past the step after which all columns are brought up to date."""
    walk_together(csr_passes.MOST_STEPS + 8, 20, optimizer=optimizer, dropout=0)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "srelu"])
def test_activations(activation: str) -> None:
    walk_together(6, 50, activation=activation)


@pytest.mark.parametrize("sizes", [(400, 5), (400, 30, 5), (400, 20, 20, 20, 20, 5)])
def test_layers(sizes: tuple[int, ...]) -> None:
    walk_together(6, 100, sizes)


def test_numbers_as_targets() -> None:
    compiled, layers = (
        network(step, sizes=WIDE, loss="squared-error") for step in ("compiled", "layers")
    )
    for t in (1, 2, 3):
        X, _ = csr_of(40, seed=t)
        T = np.random.default_rng(t).random((WIDE[-1], 40)).astype(np.float32)
        losses = [net.train_step(X, T, 0.05, t) for net in (compiled, layers)]
        assert np.isclose(*losses, rtol=1e-4)
    assert compiled.step_way == "compiled"
    assert_same(compiled, layers)


def test_bfloat16() -> None:
    """Momenta that round in each step are never behind."""
    walk_together(6, 50, activation="relu", dropout=0, momenta="bfloat16")
    one, other = (network(step, sizes=WIDE, **BFLOAT16) for step in ("compiled", "layers"))
    for t in range(1, 6):
        X, T = csr_of(50, seed=t)
        assert np.isclose(one.train_step(X, T, 0.05, t), other.train_step(X, T, 0.05, t), atol=0.02)
    assert one.step_way == "compiled"


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_arrays_and_csr_may_alternate(optimizer: Any) -> None:
    """Steps, gradients and outputs of both kinds, compiled and not: as arrays alone."""
    mixed, arrays = (
        network(sizes=WIDE, optimizer=optimizer),
        network("layers", sizes=WIDE, optimizer=optimizer),
    )
    for t in range(1, 20):
        X, T = csr_of([30, 5, 90][t % 3], seed=t)
        for net, inputs in ((mixed, X if t % 4 else X.dense()), (arrays, X.dense())):
            if t % 5 == 0:
                net.compute_gradients(inputs, T, t)
                net.step(0.05, t)
            else:
                net.train_step(inputs, T, 0.05, t)
        assert np.allclose(mixed.outputs(X), arrays.outputs(X.dense()), atol=1e-4)
    assert_same(mixed, arrays)


def test_outputs_of_another_batch_do_not_replace_the_one_being_trained_on() -> None:
    """Gradients of the same batch object before and after them."""
    net = network(sizes=WIDE, dropout=0)
    X, T = csr_of(30)
    found = []
    for _ in range(2):
        net.compute_gradients(X, T, 1)
        found.append([gradient.copy() for gradient in net.gradients()])
        net.outputs(csr_of(40, seed=5)[0])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_outputs_of_a_large_batch_read_the_columns_few_times() -> None:
    net = network(sizes=WIDE)
    X, _ = csr_of(1000)
    expected = network("layers", sizes=WIDE).outputs(X).copy()
    assert np.allclose(net.outputs(X), expected, atol=1e-5)
    (program,) = net._compiled._programs.values()  # type: ignore[union-attr]
    assert program.cut.pieces == splits.PIECES


def test_looks_at_the_weights_do_not_show() -> None:
    """The same bits, whoever brought the columns up to date, and when."""
    looks: list[Callable[[LayeredNetwork, int], Any]] = [
        lambda net, t: None,
        lambda net, t: net.values(),
        lambda net, t: net.outputs(csr_of(25, seed=99)[0]),
        lambda net, t: net.layers[0].state() if t % 4 == 0 else None,
    ]
    ends = []
    for look in looks:
        net = network(sizes=WIDE)
        for t in range(1, csr_passes.MOST_STEPS + 10):
            net.train_step(*csr_of(20, seed=t), 0.05, t)
            look(net, t)
        ends.append([value.tobytes() for value in net.values()])
    assert ends[1:] == ends[:1] * 3


@pytest.mark.parametrize("N", [6, 128, 450])
def test_the_same_bits_for_any_number_of_threads(N: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core")
    from sparsebench_plugins.backends.numba_csr.compiled_step import program

    monkeypatch.setattr(program, "ALONE", 0)
    before, ends = numba.get_num_threads(), []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        net = network(sizes=WIDE)
        losses = [net.train_step(*csr_of(N, seed=t), 0.05, t) for t in range(1, 9)]
        ends.append([np.array(losses).tobytes(), *(value.tobytes() for value in net.values())])
    assert len(HELPERS) > 0
    numba.set_num_threads(before)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("scaled", [np.float32, np.float64, None])
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32, np.float64])
def test_many_steps_are_the_single_ones(kind: Any, scaled: Any) -> None:
    """Steps that read rows of the data set give the same bits as steps on batches made first."""
    rng = np.random.default_rng(0)
    X = sparse.random(300, WIDE[0], 0.04, "csr", rng=rng)
    X.data = (X.data * 9 + 1).astype(kind)
    y = rng.integers(WIDE[-1], size=300)
    scale = np.ones((WIDE[0], 1)) if scaled is None else rng.random((WIDE[0], 1)).astype(scaled)
    examples = Examples(CsrSamples(X, rng.permutation(300), y, scale, ""), y)
    source = examples.scaled_rows()
    assert source is not None
    order = rng.permutation(300)[:280]
    many, single = network(sizes=WIDE), network(sizes=WIDE)
    rates = [0.05, 0.04, 0.03, 0.02]
    losses = many.train_steps(source, y, examples.rows_of(order), order, 70, rates, 1)
    assert losses is not None
    for t, rate in enumerate(rates, 1):
        rows = order[70 * (t - 1) : 70 * t]
        assert losses[t - 1] == single.train_step(*examples.batch(rows), rate, t)
    for a, b in zip(many.values(), single.values(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_no_array_of_all_inputs() -> None:
    """A step with 30,000 features keeps less than one dense batch of them."""
    sizes = (30_000, 20, 5)
    net = network("layers", sizes=sizes), network(sizes=sizes)
    kept = []
    for one in net:
        one.train_step(*csr_of(100, sizes), 0.05, 1)
        one.outputs(csr_of(100, sizes)[0])
        kept.append(sum(one.stored_bytes().values()))
    assert net[1].step_way == "compiled"
    assert kept[1] - kept[0] < 4 * 30_000 * 100 / 10


def test_wide_layers_go_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is not divided by samples has no kernels for csr inputs."""
    monkeypatch.setattr(splits, "TILE_BYTES", 0)
    net = network(sizes=WIDE)
    net.train_step(*csr_of(50), 0.05, 1)
    assert net.step_way == "layers"
    assert np.isfinite(net.outputs(csr_of(50)[0])).all()


def test_a_trial_takes_compiled_steps_and_compiles_none_later(build: Any) -> None:
    rng = np.random.default_rng(0)
    X = sparse.random(330, 60, 0.1, "csr", rng=rng)
    y = rng.integers(4, size=330)
    work = small_work(build, data=prepare(Parts(X, y, X[:90], y[:90])))
    for made in vars(csr_operations).values():
        if hasattr(made, "cache_clear"):
            made.cache_clear()
    warm_up(work)
    count = kernels_made()
    assert sum(count.values()) >= 8
    train(work)
    assert kernels_made() == count


def kernels_made() -> dict[str, int]:
    return {
        name: made.cache_info().currsize
        for name, made in vars(csr_operations).items()
        if hasattr(made, "cache_info")
    }
