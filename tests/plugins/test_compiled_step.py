"""The step as one compiled call: the layers' own trajectory, and the same bits for any threads."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from compiled_network import (
    ADAM,
    NESTEROV,
    PLAIN,
    SIZES,
    assert_same,
    batch,
    change_topology,
    network,
)
from small import prepare, small_work
from sparsebench_plugins.backends.numba_csr.compiled_step import batch_inputs as batches
from sparsebench_plugins.backends.numba_csr.compiled_step import batch_split as splits
from sparsebench_plugins.backends.numba_csr.compiled_step import (
    losses,
    operations,
    program,
    smooth_activations,
    work_sharing,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.helper_threads import HELPERS, Helpers

from sparsebench.core.data.prepare import Examples
from sparsebench.core.data.samples import ArraySamples, Parts
from sparsebench.core.sizes import DataSize
from sparsebench.core.sparse.csr import Change
from sparsebench.core.training.loop import train
from sparsebench.core.training.warmup import warm_up


@pytest.fixture
def by_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network is too large to be split by samples."""
    monkeypatch.setattr(splits, "TILE_BYTES", 0)


def walk_together(steps: int, N: int, **parts: Any) -> None:
    """Compiled and layer by layer, the same losses and values, across a change of topology."""
    compiled, layers = network(**parts), network("layers", **parts)
    for t in range(1, steps + 1):
        X, T = batch(N, parts.get("sizes", SIZES), seed=t)
        losses = [net.train_step(X, T, 0.05, t) for net in (compiled, layers)]
        assert np.isclose(*losses, atol=1e-4), t
        if t == steps // 2:
            change_topology(compiled, 1)
            change_topology(layers, 1)
    assert (compiled.step_way, layers.step_way) == ("compiled", "layers")
    assert_same(compiled, layers)
    X, _ = batch(N, parts.get("sizes", SIZES))
    outputs = compiled.outputs(X)
    assert np.allclose(outputs, layers.outputs(X), atol=1e-5 * max(10, np.abs(outputs).max()))


@pytest.mark.parametrize("N", [1, 3, 8, 9, 16, 31, 50, 100, 128, 200, 450])
def test_batches_of_all_sizes(N: int) -> None:
    walk_together(6, N)


@pytest.mark.parametrize("N", [17, 64, 100])
@pytest.mark.usefixtures("by_neurons")
def test_by_neurons(N: int) -> None:
    walk_together(6, N)


@pytest.fixture
def by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network has too many connections for the second order at few samples."""
    monkeypatch.setattr(splits, "IN_CACHE", 0)


@pytest.mark.parametrize("N", [1, 2, 5, 8])
@pytest.mark.usefixtures("by_blocks")
def test_few_samples_by_blocks(N: int) -> None:
    walk_together(6, N, sizes=(300, 400, 350, 5))
    walk_together(6, N, activation="srelu", optimizer=ADAM)
    assert network().layers[0].in_blocks is False


@pytest.mark.usefixtures("by_blocks")
def test_few_samples_after_many_keep_their_order() -> None:
    """The last batch of an epoch may be small: both orders, and the same values."""
    compiled, layers = network(), network("layers")
    for t, N in enumerate((60, 3, 60, 1, 8), start=1):
        X, T = batch(N, seed=t)
        for net in (compiled, layers):
            net.train_step(X, T, 0.05, t)
        assert compiled.step_way == "compiled"
        assert compiled.layers[0].in_columns
    assert_same(compiled, layers)


@pytest.mark.usefixtures("by_blocks")
def test_blocks_in_bfloat16() -> None:
    """Against float32 layer by layer, so that few kernels are compiled."""
    sizes = (300, 400, 350, 5)
    compiled = network(activations="bfloat16", momenta="bfloat16", sizes=sizes)
    layers = network("layers", sizes=sizes)
    for t in range(1, 5):
        X, T = batch(2, sizes, seed=t)
        losses = [net.train_step(X, T, 0.01, t) for net in (compiled, layers)]
        assert np.isclose(*losses, rtol=0.02), t
    assert compiled.step_way == "compiled"
    assert_same(compiled, layers, atol=1e-2)


@pytest.mark.usefixtures("by_neurons")
def test_by_neurons_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient in parts goes into SGD's velocity, or waits in an array for other rules."""
    real = splits.arguments.of
    monkeypatch.setattr(splits.arguments, "of", lambda *size: real(*size, untiled=0))
    walk_together(6, 96)
    walk_together(6, 96, optimizer=ADAM)


@pytest.mark.parametrize("optimizer", [NESTEROV, PLAIN, ADAM], ids=["nesterov", "plain", "adam"])
def test_optimizers(optimizer: Any) -> None:
    walk_together(6, 50, optimizer=optimizer)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "srelu", "relu"])
def test_activations(activation: str) -> None:
    walk_together(6, 80, activation=activation)


@pytest.mark.parametrize("activation", ["tanh", "srelu"])
@pytest.mark.usefixtures("by_neurons")
def test_activations_by_neurons(activation: str) -> None:
    walk_together(6, 40, activation=activation, optimizer=ADAM)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("mse", lambda T: T),
        ("squared-error", lambda T: np.stack([T, 1 - T, T * 2, T, T]).astype(np.float32)),
        ("binary-cross-entropy", lambda T: (np.arange(5)[:, None] < T).astype(np.float32)),
    ],
    ids=["mse", "squared-error", "binary-cross-entropy"],
)
def test_losses(loss: str, targets: Callable[[Any], Any]) -> None:
    compiled, layers = network(loss=loss), network("layers", loss=loss)
    for t in range(1, 5):
        X, T = batch(70, seed=t)
        losses = [net.train_step(X, targets(T), 0.05, t) for net in (compiled, layers)]
        assert np.isclose(*losses, rtol=1e-5), t
    assert compiled.step_way == "compiled"
    assert_same(compiled, layers)


def test_an_autoencoder_of_its_inputs() -> None:
    parts = {
        "loss": "squared-error", "model": "autoencoder", "activation": "sigmoid",
        "sizes": (20, 12, 20), "dropout": 0.2,
    }  # fmt: skip
    compiled, layers = network(**parts), network("layers", **parts)
    for t in range(1, 5):
        X, _ = batch(70, seed=t)
        X = 1 / (1 + np.exp(-X))
        losses = [net.train_step(X, X, 0.05, t) for net in (compiled, layers)]
        assert np.isclose(*losses, rtol=1e-5), t
    assert compiled.step_way == "compiled"
    assert_same(compiled, layers)


def test_bfloat16() -> None:
    """Rounded activations: the sums over a batch's tiles differ where a rounding flips."""
    parts = {"activations": "bfloat16", "momenta": "bfloat16"}
    compiled, layers = network(**parts), network("layers", **parts)
    for t in range(1, 5):
        X, T = batch(128, seed=t)
        losses = [net.train_step(X, T, 0.05, t) for net in (compiled, layers)]
        assert np.isclose(*losses, rtol=1e-3), t
    assert compiled.step_way == "compiled"
    assert_same(compiled, layers, atol=1e-2)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Even tiny networks are shared between threads."""
    monkeypatch.setattr(program, "ALONE", 0)
    monkeypatch.setattr(program, "STRETCH", 64)
    yield
    numba.set_num_threads(1)
    HELPERS.stop()
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def bits_of(threads: int, steps: int = 40, N: int = 100, **parts: Any) -> list[bytes]:
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    net = network(**parts)
    found = []
    for t in range(1, steps + 1):
        X, T = batch(N, parts.get("sizes", SIZES), seed=t)
        found.append(np.float64(net.train_step(X, T, 0.05, t)).tobytes())
    found.append(net.outputs(X).tobytes())
    return found + [value.tobytes() for value in net.values()]


@pytest.mark.usefixtures("two_threads")
class TestThreads:
    def test_the_same_bits_by_samples(self) -> None:
        assert bits_of(1) == bits_of(2)

    @pytest.mark.usefixtures("by_neurons")
    def test_the_same_bits_by_neurons(self) -> None:
        assert bits_of(1) == bits_of(2)

    @pytest.mark.usefixtures("by_blocks")
    def test_the_same_bits_by_blocks(self) -> None:
        sizes = (300, 400, 350, 5)
        assert bits_of(1, N=2, sizes=sizes) == bits_of(2, N=2, sizes=sizes)

    def test_the_same_bits_beside_a_busy_process(self) -> None:
        alone = bits_of(1)
        busy = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(os.cpu_count() or 1)
        ]
        try:
            assert bits_of(2) == alone
        finally:
            for process in busy:
                process.kill()
                process.wait()

    def test_helpers_flush_denormals(self) -> None:
        """A helper does as the thread that started it: with dropout's scale, sums of denormals."""
        code = (
            "from sparsebench.core.worker.denormals import flush_to_zero, flushed; "
            "assert flush_to_zero(); import numpy, numba; numba.set_num_threads(2); "
            "from sparsebench_plugins.backends.numba_csr.compiled_step import helper_threads; "
            "HELPERS = helper_threads.HELPERS; "
            "HELPERS.held().__enter__(); assert len(HELPERS) == 1; "
            "assert HELPERS.flush(), 'a helper makes denormals'; "
            "assert flushed()['flush_to_zero_in']['helpers']"
        )
        environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    def test_a_forked_child_starts_its_own_helpers(self) -> None:
        """Numba's own threads do not survive a fork, so both networks took a step before."""
        here, there = network(), network()
        X, T = batch(100)
        for net in (here, there):
            net.train_step(X, T, 0.05, 1)
        expected = np.float64(here.train_step(X, T, 0.05, 2)).tobytes()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, np.float64(there.train_step(X, T, 0.05, 2)).tobytes())
            finally:
                os._exit(0)
        os.close(writer)
        deadline = time.monotonic() + 60
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline, "the child waits for helpers that it does not have"
            time.sleep(0.01)
        assert os.read(reader, 10) == expected

    def test_two_networks_at_once(self) -> None:
        """One of two threads holds the helpers; the other works alone, with the same results."""
        expected = bits_of(2, steps=10)
        found: list[list[bytes]] = []
        threads = [
            threading.Thread(target=lambda: found.append(bits_of(2, steps=10))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected, expected]


def test_a_portable_wait_gives_the_same() -> None:
    """Without futex and pause, as on systems that have neither."""
    code = (
        "import hashlib, test_compiled_step as t; "
        "t.program.ALONE = 0; t.program.STRETCH = 64; "
        "print(hashlib.sha256(b''.join(t.bits_of(2))).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True, capture_output=True,
            env={
                **os.environ, "NUMBA_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path),
                **more,
            },
        ).stdout
        for more in ({}, {"SPARSEBENCH_PORTABLE_WAIT": "1"})
    }  # fmt: skip
    assert len(outputs) == 1


# --- several steps in one call --------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.int64, np.float64, np.bool_])
def test_many_steps_are_the_single_ones(kind: Any) -> None:
    """Gathered and scaled in the call: the same bits as batches made outside."""
    rng = np.random.default_rng(0)
    X = (rng.random((300, SIZES[0] + 3)) * 2).astype(kind)[:, : SIZES[0]]
    y = rng.integers(SIZES[-1], size=X.shape[0])
    wide = np.float64 if np.dtype(kind).itemsize > 4 else np.float32
    mean, scale = rng.random((2, SIZES[0], 1)).astype(wide)
    samples = ArraySamples(X, rng.permutation(300), y, mean, scale, "")
    examples = Examples(samples, y)
    source = examples.scaled_rows()
    assert source is not None
    order = rng.permutation(300)[:280]
    many, single = network(), network()
    rates = [0.05, 0.04, 0.03, 0.02]
    losses = many.train_steps(source, y, examples.rows_of(order), order, 70, rates, 1)
    assert losses is not None
    for t, rate in enumerate(rates, 1):
        rows = order[70 * (t - 1) : 70 * t]
        expected = single.train_step(*examples.batch(rows), rate, t)
        assert losses[t - 1] == expected
    for a, b in zip(many.values(), single.values(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_numbers_as_targets_in_many_steps() -> None:
    rng = np.random.default_rng(0)
    X = rng.random((90, SIZES[0])).astype(np.float32)
    Y = rng.random((90, SIZES[-1])).astype(np.float32)
    zero, one = np.zeros((SIZES[0], 1), np.float32), np.ones((SIZES[0], 1), np.float32)
    examples = Examples(ArraySamples(X, np.arange(90), Y, zero, one, ""), Y)
    source, order = examples.scaled_rows(), rng.permutation(90)
    assert source is not None
    many, single = network(loss="squared-error"), network(loss="squared-error")
    losses = many.train_steps(source, Y, order, order, 45, [0.05, 0.05], 1)
    assert losses is not None
    for t in (1, 2):
        X_t, T = examples.batch(order[45 * (t - 1) : 45 * t])
        assert np.isclose(losses[t - 1], single.train_step(X_t, T, 0.05, t), rtol=1e-6)
    assert_same(many, single)


def test_steps_end_behind_a_loss_that_is_not_finite() -> None:
    net = network(loss="squared-error", optimizer={"name": "sgd"}, dropout=0)
    X = np.ones((40, SIZES[0]), np.float32)
    Y = np.ones((40, SIZES[-1]), np.float32)
    zero, one = np.zeros((SIZES[0], 1), np.float32), np.ones((SIZES[0], 1), np.float32)
    examples = Examples(ArraySamples(X, np.arange(40), Y, zero, one, ""), Y)
    source, rows = examples.scaled_rows(), np.tile(np.arange(40), 50)
    assert source is not None
    losses = net.train_steps(source, Y, rows, rows, 40, [1e6] * 50, 1)
    assert losses is not None
    assert losses.size < 50
    assert not np.isfinite(losses[-1])
    assert np.isfinite(losses[:-1]).all()


def test_signals_at_every_step_go_layer_by_layer() -> None:
    X, T = batch(50)
    watched = network()
    seen: list[int] = []
    watched.watch(lambda index, X, DZ, t: seen.append(index))
    watched.train_step(X, T, 0.05, 1)
    assert watched.step_way == "layers"
    assert seen == [2, 1, 0]


def test_programs_follow_the_connections() -> None:
    """Fewer of them, at other places: the same programs, and neither the arrays that they pointed
    to nor a batch stay in memory."""
    compiled, layers = network(), network("layers")
    programs = compiled._compiled._programs  # type: ignore[union-attr]
    rng = np.random.default_rng(0)
    kept = [rng.random(layer.nnz) > 0.3 for layer in compiled.layers]
    gone: list[weakref.ref[Any]] = []
    for t in range(1, 5):
        X, T = batch(60, seed=t)
        for net in (compiled, layers):
            net.train_step(X, T, 0.05, t)
            net.outputs(X)
        if t == 2:
            before = list(programs.values())
            gone = [weakref.ref(layer.data) for layer in compiled.layers]
            for net in (compiled, layers):
                for layer, keep in zip(net.layers, kept, strict=True):
                    layer.apply_change(Change.drop(keep))
            change_topology(compiled, 1)
            change_topology(layers, 1)
            gone += [weakref.ref(X)]
            del layer
    assert list(programs.values()) == before
    assert_same(compiled, layers)
    gc.collect()
    assert [array() for array in gone] == [None] * 4


def test_steps_and_gradients_may_alternate() -> None:
    """Layer by layer and compiled steps leave each other's arrays up to date."""
    mixed, layers = network(), network("layers")
    for t in range(1, 9):
        X, T = batch(60, seed=t)
        layers.train_step(X, T, 0.05, t)
        if t % 2:
            mixed.train_step(X, T, 0.05, t)
        else:
            mixed.compute_gradients(X, T, t)
            mixed.step(0.05, t)
    assert_same(mixed, layers)


@pytest.mark.parametrize("N", [3, 16, 128, 450])
@pytest.mark.parametrize("way", ["samples", "neurons", "blocks"])
def test_a_step_times_its_parts(way: str, N: int, request: pytest.FixtureRequest) -> None:
    """The parts cover the calls and take no more time than these; asking resets them."""
    if way != "samples":
        request.getfixturevalue(f"by_{way}")
    net, inside = network(sizes=(300, 400, 350, 5)), 0.0
    for t in range(1, 7):
        X, T = batch(N, (300, 400, 350, 5), seed=t)
        began = time.perf_counter()
        net.train_step(X, T, 0.05, t)
        inside += time.perf_counter() - began
        if t == 3:
            change_topology(net, 1)  # which makes the tables of phases anew
    net.outputs(X)  # which is no part of a step
    parts = net.take_seconds()
    assert set(parts) - {"gather"} == {"forward", "backward", "update"}
    assert ("gather" in parts) == (way == "samples" or (way == "blocks" and N > 8))
    assert min(parts.values()) > 0
    assert sum(parts.values()) <= inside
    assert set(net.take_seconds().values()) <= {0.0}
    assert network("layers").take_seconds() == {}


def test_the_parts_of_a_step_are_in_the_records(build: Any) -> None:
    found = train(small_work(build, backend="numba-csr", epochs=3))
    names = [f"{part}_seconds" for part in ("gather", "forward", "backward", "update")]
    for name in names:
        total = sum(epoch.metrics[name] for epoch in found.epochs)
        assert found.measures[name] == pytest.approx(total)
    assert sum(found.measures[name] or 0 for name in names) <= found.measures["train_seconds"]
    other = train(small_work(build, backend="scipy-csr", epochs=1))
    assert names[0] not in other.measures


def test_a_late_ticket_is_executed_for_its_phase() -> None:
    """Many phases of few items with several helpers: every item runs exactly once."""
    helpers = Helpers()
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    counts = np.zeros(8, dtype=np.int64)
    items = np.array([(counting().address, counts.ctypes.data, i, 0) for i in range(8)])
    phases = np.array([(0, 3, 0, 0), (3, 5, 0, 0)] * 500)
    with helpers.held() as hold:
        for _ in range(20):
            hold.serial = work_sharing.run_once(
                hold.control, hold.helped, hold.serial, phases, items
            )
    helpers.stop()
    assert counts.tolist() == [20 * 500] * 8


def test_the_caller_works_alone_for_longer_while_another_program_needs_a_core() -> None:
    first = work_sharing.next_span(0, work_sharing.RECENT)
    assert first == work_sharing.SOLITUDE
    spans = [first]
    for _ in range(6):
        spans.append(work_sharing.next_span(spans[-1], work_sharing.RECENT - 1))
    assert spans == [first * 2**n for n in range(5)] + [work_sharing.LONGEST] * 2
    assert work_sharing.next_span(spans[-1], work_sharing.RECENT) == work_sharing.SOLITUDE


def counting() -> Any:
    """A kernel that counts its calls by its second argument."""
    from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import array_at
    from sparsebench_plugins.backends.numba_csr.compiled_step.operations import KERNEL

    @numba.cfunc(KERNEL)
    def kernel(address, number, other):  # type: ignore[no-untyped-def]
        array_at(address, 8, np.int64)[number] += 1

    return kernel


@pytest.mark.parametrize("loaded", [True, False])
def test_what_is_warmed_up_compiles_no_kernel_later(
    build: Any, loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before a run, where only the size of the data is known."""
    rng = np.random.default_rng(0)
    X, y = rng.random((330, 20)), rng.integers(4, size=330)
    data = prepare(Parts(X, y, X[:90], y[:90]))
    work = small_work(build, data=data)
    before = work if loaded else replace(work, data=None, size=DataSize(20, 4, 330, 90))
    for kernels in (operations, losses, smooth_activations, batches):
        for made in vars(kernels).values():
            if hasattr(made, "cache_clear"):
                made.cache_clear()
    monkeypatch.setattr(splits, "TILE_BYTES", 0 if loaded else splits.TILE_BYTES)
    warm_up(before, gradients=False)
    count = kernels_made()
    assert sum(count.values()) >= 6
    train(work)
    assert kernels_made() == count


def kernels_made() -> dict[str, int]:
    """How many variants of each kernel there are."""
    return {
        f"{kernels.__name__.rpartition('.')[2]}.{name}": made.cache_info().currsize
        for kernels in (operations, losses, smooth_activations, batches)
        for name, made in vars(kernels).items()
        if hasattr(made, "cache_info")
    }
