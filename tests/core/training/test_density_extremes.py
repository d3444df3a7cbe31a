"""Densities at both ends: full layers, layers without connections, pruning of nearly everything."""

from __future__ import annotations

import numpy as np
import pytest
from small import small_work

from sparsebench.core.training.loop import train
from sparsebench.errors import SuiteError

BACKENDS = ("numba-csr", "scipy-csr", "dense-mask")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "topology",
    [
        {"name": "set", "epsilon": 1e9},
        {"name": "rigl", "density": 1.0},
        {"name": "static", "density": 1.0, "allocation": "uniform"},
        "dense",
    ],
    ids=str,
)
def test_full_layers_are_capped_and_the_density_says_so(build, backend, topology):
    result = train(small_work(build, backend=backend, topology=topology, epochs=3))
    assert result.measures["connections"] == result.measures["dense_connections"]
    assert result.measures["density"] == 1.0
    assert np.isfinite(result.measures["train_loss"])


@pytest.mark.parametrize("epsilon", [0.02, 1e-9])
def test_a_layer_without_connections_is_refused(build, epsilon):
    topology = {"name": "set", "epsilon": epsilon}
    with pytest.raises(SuiteError, match=r"layer \d \(\d+ x \d+\) gets no connection.*raise"):
        train(small_work(build, topology=topology))


def test_the_smallest_density_leaves_a_connection_in_each_layer(build):
    topology = {"name": "set", "density": 1e-9}
    result = train(small_work(build, topology=topology))
    assert [layer["connections"] for layer in result.layers] == [1, 1, 1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("more", [{}, {"count_dead": True}, {"regrow": True, "outgoing": False}])
def test_pruning_of_nearly_everything_keeps_a_neuron(build, backend, more):
    pruning = {"name": "importance", "start": 1, "every": 1, "percentile": 99.9, **more}
    result = train(small_work(build, backend=backend, pruning=pruning, epochs=5))
    assert np.isfinite(result.measures["train_loss"])
    assert all(layer["connections"] >= 1 for layer in result.layers)
