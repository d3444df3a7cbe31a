"""Counting by hand, probes against numpy, and operations that leave the layer as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config
from small import small_work
from sparsebench_roofline import quiet_timing
from sparsebench_roofline.caches import caches, last_cache
from sparsebench_roofline.model import Demand, Rates, Size, bound, demand, level

from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported

needs_jit = pytest.mark.skipif(
    bool(getattr(config, "DISABLE_JIT", False)), reason="probes are explicit vectors"
)

WIDE = Size(K=10, D=20, E=40, N=16)
NARROW = Size(K=10, D=20, E=40, N=2)
CACHES = [("L1", 1000), ("L2", 10_000)]


# --- the model ------------------------------------------------------------------------


def test_forward_by_hand() -> None:
    needs = demand("forward", WIDE)
    assert (needs.gathers, needs.row_bytes, needs.working_set) == (40, 64, 20 * 64)
    assert needs.gathered == 2560
    assert needs.read == 40 * 8 + 11 * 4 + 10 * 4  # values and columns, indptr, bias
    assert needs.written == 10 * 64
    assert needs.bytes == 2560 + 404 + 640
    assert needs.flops == 2 * 40 * 16


def test_the_backward_large_passes_by_hand() -> None:
    sddmm, backward, step = (
        demand(kernel, WIDE) for kernel in ("sddmm", "backward", "backward-and-step")
    )
    assert sddmm.gathered == backward.gathered == step.gathered == 40 * 64
    assert sddmm.working_set == 10 * 64  # rows of DZ
    assert sddmm.read == 40 * 4 + 21 * 4 + 20 * 64  # rows of connections, indptr, X
    assert sddmm.written == 40 * 4 + 10 * 4
    assert backward.read - sddmm.read == 40 * 4  # values
    assert backward.written - sddmm.written == 20 * 64  # DX
    assert step.read - backward.read == 40 * 4  # velocity
    assert step.written - backward.written == 40 * 4  # value and velocity, no gradient
    assert (sddmm.flops, backward.flops) == (2 * 40 * 16, 4 * 40 * 16)


def test_the_backward_small_pass_adds_where_it_gathers() -> None:
    needs = demand("backward-and-step", NARROW)
    assert needs.added
    assert needs.gathered == 3 * 40 * 8
    assert needs.working_set == 20 * 8  # rows of X
    assert needs.read == 40 * 12 + 11 * 4 + 10 * 8  # 20 bytes a connection in all
    assert needs.written == 40 * 8 + 10 * 4
    assert not demand("sddmm", NARROW).added


def test_bfloat16_halves_what_is_gathered() -> None:
    half = Size(K=10, D=20, E=40, N=16, activation=2)
    assert demand("forward", half).gathered == demand("forward", WIDE).gathered // 2


def test_changes_of_topology_by_hand() -> None:
    assert demand("index", WIDE).bytes == 40 * (13 + 20)
    drop, grow = demand("drop", WIDE, 0.25), demand("grow", WIDE, 0.25)
    assert (drop.read, drop.written) == (40 + 30 * 12, 30 * 12)
    assert (grow.read, grow.written) == (30 + 30 * 12 + 10 * 12, 40 * 12)
    assert demand("rewire", WIDE).bytes == 40 * (17 + 13)
    assert {demand(k, WIDE).gathers for k in ("index", "drop", "grow", "rewire")} == {0}


def test_an_unknown_kernel_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no kernel 'fordward'"):
        demand("fordward", WIDE)


def test_the_slowest_limit_binds() -> None:
    needs = Demand(gathers=10, row_bytes=64, working_set=2000, read=100, written=0, flops=50)
    found = bound(needs, Rates(gather=64.0, stream=100.0, flops=10.0), CACHES)
    assert found.limits == {"row gather, L2": 10.0, "stream, L1": 1.0, "flops": 5.0}
    assert (found.name, found.seconds) == ("row gather, L2", 10.0)
    assert bound(needs, Rates(1e9, 100.0, 1.0), CACHES).name == "flops"
    assert bound(needs, Rates(64.0, 1e9, 1e9, part=0.25), CACHES).name == "row gather, tiles in L1"


def test_narrow_rows_and_those_added_to_have_names_of_their_own() -> None:
    rates = Rates(gather=1.0, stream=1e9, flops=1e9)
    assert bound(demand("forward", NARROW), rates, CACHES).name == "narrow gather, L1"
    assert bound(demand("backward", NARROW), rates, CACHES).name == "narrow gather-add, L1"


def test_levels() -> None:
    assert [level(size, CACHES) for size in (1000, 1001, 10_001)] == ["L1", "L2", "memory"]
    assert level(1, []) == "memory"


def test_caches_as_the_kernel_tells(tmp_path: Path) -> None:
    sizes = [("Data", "1", "48K"), ("Instruction", "1", "32K"), ("Unified", "2", "1M")]
    for i, values in enumerate(sizes):
        folder = tmp_path / f"index{i}"
        folder.mkdir()
        for name, value in zip(("type", "level", "size"), values):
            (folder / name).write_text(f"{value}\n")
    found = caches(tmp_path)
    assert found == [("L1", 48 * 2**10), ("L2", 2**20)]
    assert last_cache(found) == 2**20
    assert caches(tmp_path / "none") == []
    assert last_cache([]) > 0


# --- the probes -----------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize("vectors", [1, 2, 4, 8])
def test_gathered_rows_add_up(vectors: int) -> None:
    from sparsebench_plugins.backends.numba_csr.simd import WIDTH
    from sparsebench_roofline import probes

    rows, N, tiles = 11, 2 * vectors * WIDTH, 2
    X = np.random.default_rng(0).integers(0, 4, size=(rows, N)).astype(np.float32)
    places = np.random.default_rng(1).integers(0, rows, size=24, dtype=np.int32)
    cuts = np.array([0, 8, 16], dtype=np.int64)
    for ahead in (0, 8):
        sums = probes.gather_rows(places, cuts, X.reshape(-1), N, N // 2, tiles, vectors, ahead, 3)
        assert list(sums) == [3 * X[places[:8]].sum(), 3 * X[places[8:16]].sum()]


@needs_jit
@pytest.mark.parametrize("N", range(1, 9))
def test_narrow_gathers_add_up(N: int) -> None:
    from sparsebench_roofline import probes

    X = np.random.default_rng(0).integers(0, 4, size=(7, N)).astype(np.float32)
    places = np.random.default_rng(1).integers(0, 7, size=24, dtype=np.int32)
    cuts = np.array([0, 8, 16], dtype=np.int64)
    wanted = [X[places[:8]].sum(), X[places[8:16]].sum()]
    Y = np.zeros(2 * X.size, dtype=np.float32)
    for ahead in (0, 8):
        assert list(probes.gather_narrow(places, cuts, X.reshape(-1), N, ahead, 1)) == wanted
        Y[...] = 0
        found = probes.gather_add(places, cuts, X.reshape(-1), Y, N, np.float32(2), ahead, 1)
        assert list(found) == wanted
        counts = [np.bincount(part, minlength=7) for part in (places[:8], places[8:16])]
        assert np.array_equal(Y.reshape(2, 7, N), 2.0 * np.stack(counts)[:, :, None] * np.ones(N))


@needs_jit
def test_streams_and_chains() -> None:
    from sparsebench_plugins.backends.numba_csr.simd import WIDTH
    from sparsebench_roofline import probes

    cuts = np.array([0, 8 * WIDTH, 16 * WIDTH], dtype=np.int64)
    A = np.arange(16 * WIDTH, dtype=np.float32)
    assert list(probes.read(A, cuts, 2)) == [2 * A[: 8 * WIDTH].sum(), 2 * A[8 * WIDTH :].sum()]
    B, C = A.copy(), A + 1
    probes.triad(A, B, C, np.float32(2), cuts, 1)
    assert np.array_equal(A, B + 2 * C)
    # y -> y / 2 + 1 has its rest at 2
    assert probes.multiply_add(2, np.float32(1), 60) == pytest.approx(2 * probes.CHAINS * WIDTH)


def test_a_timing_that_was_interrupted_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([0, 1, 1, 2, 2, 2])
    monkeypatch.setattr(quiet_timing, "interruptions", lambda: next(counts))
    assert quiet_timing.quietest(iter([9.0, 7.0, 8.0]).__next__) == (8.0, True)
    always = iter(range(100))
    monkeypatch.setattr(quiet_timing, "interruptions", lambda: next(always))
    times = [3.0, 2.0] + [4.0] * (quiet_timing.MOST_TRIES - 2)
    assert quiet_timing.quietest(iter(times).__next__) == (2.0, False)


@needs_jit
def test_yardsticks_give_plausible_numbers() -> None:
    from sparsebench_roofline import probe_rates

    X = np.ones(100 * 40, dtype=np.float32)
    ways = [
        *probe_rates.gather(X, 40, 500, least=0.0),
        *probe_rates.gather(X, 2, 500, least=0.0),
        *probe_rates.gather_add(X, 2, 500, least=0.0),
        probe_rates.read(2**16, least=0.0),
        probe_rates.triad(2**16, least=0.0),
        probe_rates.flops(least=0.0),
    ]
    for way in ways:
        assert way.measure() > 0
        assert 0 < way.part <= 1
        assert way.rate == max(way.rates)
    assert probe_rates.fastest(ways[:3]).rate == max(way.rate for way in ways[:3])
    assert probe_rates.start_seconds(3) > 0


# --- the operations -------------------------------------------------------------------


@pytest.fixture
def work(build: Callable[[str, Any], Any]) -> Callable[..., Work]:
    def make(backend: str = "scipy-csr", **given: Any) -> Work:
        model = {"name": "mlp", "hidden": [30, 30]}
        topology = given.pop("topology", {"name": "set", "epsilon": 2})
        return small_work(build, backend=backend, model=model, topology=topology, **given)

    return make


@needs_jit
@pytest.mark.parametrize("kernel", ["index", "drop", "grow"])
def test_a_change_that_is_timed_is_taken_back(work: Callable[..., Work], kernel: str) -> None:
    from sparsebench_roofline.operations import operation

    given = work()
    network = build_network(given)
    layer = network.layers[1]
    timed = operation(kernel, given, network, layer)
    whole = layer.nnz
    W = layer.weights()
    for _ in range(3):
        assert timed.seconds(0.0) > 0
    if kernel == "drop":
        assert layer.nnz < whole
        assert timed.before is not None
        timed.before()
    layer.weights().validate()
    assert np.array_equal(layer.weights().indices, W.indices)
    assert np.allclose(layer.weights().data, W.data, atol=1e-6)


@needs_jit
def test_a_topology_that_stays_cannot_be_timed(work: Callable[..., Work]) -> None:
    from sparsebench_roofline.operations import operation

    given = work(topology={"name": "static", "epsilon": 2})
    network = build_network(given)
    for kernel in ("drop", "grow", "rewire"):
        with pytest.raises(Unsupported, match="needs a topology that drops connections"):
            operation(kernel, given, network, network.layers[1])


@needs_jit
def test_through_needs_a_backend_with_units(work: Callable[..., Work]) -> None:
    from sparsebench_roofline.operations import operation

    given = work()
    network = build_network(given)
    with pytest.raises(Unsupported, match=r"trainer\.through: this backend applies no units"):
        operation("forward", given, network, network.layers[1], through=True)


@needs_jit
def test_the_model_takes_the_layers_own_numbers(work: Callable[..., Work]) -> None:
    from sparsebench_roofline.operations import operation, size

    given = work()
    network = build_network(given)
    layer = network.layers[1]
    assert size(layer, 16) == Size(30, 30, layer.nnz, 16, state=4)
    timed = operation("evaluate", given, network, layer)
    assert timed.needs.gathers == sum(one.nnz for one in network.layers)


@needs_jit
@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [2, 16])
@pytest.mark.parametrize("through", [False, True])
def test_figures_agree_with_each_other(
    work: Callable[..., Work], build: Callable[[str, Any], Any], batch_size: int, through: bool
) -> None:
    given = work("numba-csr", batch_size=batch_size)
    trainer = {"name": "kernel", "kernel": "backward-and-step", "repeats": 3, "through": through}
    result = build("trainer", trainer).run(given)
    measures, (facts,) = result.measures, [one for one in result.layers if "bound" in one]
    assert facts["shape"] == [30, 30]
    assert len(facts["repeats"]) == 3
    assert measures["kernel_least_seconds"] == min(facts["repeats"]) > 0
    assert measures["kernel_bytes"] / measures["kernel_seconds"] == measures["bytes_per_second"]
    assert measures["kernel_flops"] / measures["kernel_seconds"] == measures["flops_per_second"]
    assert max(facts["limits"].values()) == facts["limits"][facts["bound"]]
    if measures["roofline_share"] is not None:  # it is unknown on a busy machine
        share = facts["limits"][facts["bound"]] / measures["kernel_seconds"]
        assert measures["roofline_share"] == share <= measures["roofline_best_share"]
    for name in ("gather", "stream", "memory"):
        assert measures[f"{name}_bytes_per_second"] > 0
    assert measures["peak_flops_per_second"] > 0


@needs_jit
@pytest.mark.slow
def test_a_change_of_topology_gathers_nothing(
    work: Callable[..., Work], build: Callable[[str, Any], Any]
) -> None:
    trainer = build("trainer", {"name": "kernel", "kernel": "rewire", "repeats": 2})
    measures = trainer.run(work()).measures
    assert measures["gather_bytes_per_second"] is None
    assert measures["kernel_flops"] == 0
    assert measures["kernel_seconds"] > 0


@needs_jit
def test_a_difference_lost_in_noise_is_unknown() -> None:
    from sparsebench_roofline.trainer import figures_of

    needs, rates = demand("transposed", WIDE), Rates(gather=1e9, stream=1e9, flops=1e9)
    measures = figures_of(needs, bound(needs, rates), rates, [1e-6, -1e-6, 2e-6])
    names = ("kernel_seconds", "roofline_share", "bytes_per_second")
    assert [measures[name] for name in names] == [None] * 3
