"""Layers of numba-csr under pytest-benchmark, each with its share of the roofline.

    python -m pytest benchmarks/test_kernels.py --benchmark-group-by=param:batch
    python -m pytest benchmarks/test_kernels.py --benchmark-autosave
    pytest-benchmark compare

No part of the normal test run. The share stands in the saved file, under `extra_info`; the suite
`kernels` measures it in a process per trial, from a thousand to ten million neurons.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sparsebench_roofline.caches import caches
from sparsebench_roofline.model import bound
from sparsebench_roofline.operations import operation
from sparsebench_roofline.trainer import yardsticks_of

from sparsebench.core.data.prepare import TrialData, prepare
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.work import Work
from sparsebench.discovery import load_plugins

PLUGINS = load_plugins()


class NoMeter:
    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        yield


def build(kind: str, given: Any) -> Any:
    return PLUGINS.build(kind, PLUGINS.validate(kind, given, kind))


@pytest.fixture(scope="module")
def data() -> TrialData:
    shape = {"features": 16, "informative": 16, "train": 64, "test": 32}
    shown = build("dataset", {"name": "extreme", **shape})
    return prepare(shown.load(), build("objective", "classification"), seed=0)


@pytest.mark.parametrize("batch", [2, 128])
@pytest.mark.parametrize("width", [500, 5_000, 50_000])
@pytest.mark.parametrize("kernel", ["forward", "sddmm", "backward", "backward-and-step"])
def test_layer(
    benchmark: BenchmarkFixture, data: TrialData, kernel: str, width: int, batch: int
) -> None:
    work = Work(
        model=build("model", {"name": "mlp", "hidden": [width, width]}),
        backend=build("backend", "numba-csr"),
        topology=build("topology", {"name": "set", "epsilon": 5}),
        pruning=None,
        optimizer=build("optimizer", {"name": "sgd", "momentum": 0.9}),
        objective=build("objective", "classification"),
        data=data,
        epochs=1,
        batch_size=batch,
        seed=0,
        meter=NoMeter(),
    )
    network = build_network(work)
    timed = operation(kernel, work, network, network.layers[1])
    timed.call()
    probes = yardsticks_of(timed.needs, timed.rows, batch)
    for way in probes.all:
        way.measure()
    benchmark.pedantic(timed.call, rounds=15, iterations=5, warmup_rounds=1)
    found = bound(timed.needs, probes.rates(), caches())
    if benchmark.stats is not None:
        share = found.seconds / benchmark.stats.stats.median
        benchmark.extra_info |= {"bound": found.name, "roofline_share": round(share, 3)}
    assert network.layers[1].nnz == timed.needs.gathers
