"""A warm-up compiles what the trial's layers will need, and nothing for those that need nothing."""

import pytest
from small import small_work

from sparsebench.core.sizes import LayerSize, all_small
from sparsebench.core.sparse import large_changes, large_sampling
from sparsebench.core.sparse import small_layers as way
from sparsebench.core.training.warmup import warm_up


@pytest.mark.parametrize(("hidden", "compiled"), [(20, False), (400, True)])
def test_large_layers_are_rehearsed_by_compiled_loops(build, monkeypatch, hidden, compiled):
    used = set()
    for module, name in ((large_sampling, "free_positions"), (large_changes, "Merge")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, real=real, name=name: used.add(name) or real(*given)
        )
    topology = {"name": "set", "density": 0.3}
    model = {"name": "mlp", "hidden": [hidden, hidden], "activation": "relu"}
    warm_up(small_work(build, backend="scipy-csr", topology=topology, model=model))
    assert used == ({"free_positions", "Merge"} if compiled else set())
    assert way.MOST > 0


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (LayerSize((300, 300), 6_000), True),
        (LayerSize((300, 300), 9_000), False),  # growth may look at more positions
        (LayerSize((10, 50_000), 1_000), False),
    ],
)
def test_what_counts_as_small(layer, expected):
    assert all_small([layer]) is expected
