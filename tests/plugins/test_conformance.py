"""Every built-in component is held to the kit that plugin authors use."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sparsebench_plugins.backends.dense_mask import DenseMask

from sparsebench import testing
from sparsebench.discovery import load_plugins
from sparsebench.errors import SuiteError, Unsupported

PLUGINS = load_plugins()
MINIMAL = {
    "mlp": {"hidden": [7, 5], "activation": "tanh"},
    "autoencoder": {"hidden": [7, 5], "activation": "tanh"},
    "step": {"epochs": [1, 2]},
    "importance": {"start": 2, "every": 2, "percentile": 30},
}

OWN_TESTS = ("rbm", "graph-challenge")
"""Models without dropout, or without as many outputs as one likes: tested in files of their own."""


def names(kind: str) -> list[str]:
    return [entry.name for entry in PLUGINS[kind]]


def component(build, kind, name, **parameters):
    return build(kind, {"name": name, **MINIMAL.get(name, {}), **parameters})


@pytest.mark.parametrize("name", names("backend"))
def test_backend(build, name):
    optimizers = [
        build("optimizer", {"name": "sgd", "momentum": momentum, **more})
        for momentum in (0.0, 0.9)
        for more in (
            {},
            {"weight_decay": 0.01},
            {"weight_decay": 0.01, "decay": "decoupled"},
            {"weight_decay": 0.01, "decay": "decoupled-unscaled", "nesterov": True},
        )
    ]
    try:
        backend = component(build, "backend", name)
        testing.check_backend(backend, [*optimizers, build("optimizer", "adam")])
    except Unsupported as reason:
        pytest.skip(str(reason))


def test_the_kit_flags_a_mask_that_says_it_is_truly_sparse(build):
    @dataclass(frozen=True)
    class Pretends(DenseMask):
        truly_sparse = True

    testing.check_honesty(build("backend", "dense-mask"))
    with pytest.raises(AssertionError, match="says it is truly sparse; dense-storage, dense-work"):
        testing.check_honesty(Pretends(), build("optimizer", "sgd"))


@pytest.mark.parametrize("name", names("topology"))
def test_topology(build, name):
    topology = component(build, "topology", name)
    density = getattr(topology, "density_schedule", None)
    testing.check_topology(topology, keeps_connections=getattr(density, "start", None) is None)


@pytest.mark.parametrize("name", names("allocation"))
def test_allocation(build, name):
    if name == "explicit":
        part, wanted = (
            component(build, "allocation", name, densities=[0.1, 0.5, 1.0]),
            {"density": None},
        )
    else:
        part = component(build, "allocation", name)
        wanted = {"density": None, "epsilon": 3.0} if name == "er" else {"density": 0.2}
    testing.check_allocation(part, **wanted)


@pytest.mark.parametrize("name", names("drop"))
def test_drop(build, name):
    testing.check_drop(component(build, "drop", name))


@pytest.mark.parametrize("name", names("grow"))
def test_grow(build, name):
    testing.check_grow(component(build, "grow", name))


@pytest.mark.parametrize("distribution", ["grabo", "graest"])
@pytest.mark.parametrize("gamma", [0.01, 3.0])
def test_gse_by_ends(build, distribution, gamma):
    testing.check_grow(component(build, "grow", "gse", distribution=distribution, gamma=gamma))


@pytest.mark.parametrize("name", names("update"))
@pytest.mark.parametrize(
    "parameters", [{}, {"every": 7}, {"every": 10, "until": 0.5}, {"until": 60}], ids=str
)
def test_update_schedule(build, name, parameters):
    testing.check_update_schedule(component(build, "update", name, zeta=0.5, **parameters))


@pytest.mark.parametrize("name", names("redistribution"))
def test_redistribution(build, name):
    testing.check_redistribution(component(build, "redistribution", name))


@pytest.mark.parametrize("name", names("density_schedule"))
def test_density_schedule(build, name):
    testing.check_density_schedule(component(build, "density_schedule", name))


@pytest.mark.parametrize("begin", [0.3, 0.74, 0.9])
def test_pruning_may_begin_late(build, begin):
    """Even behind the last update, at three quarters of the kit's training."""
    testing.check_density_schedule(component(build, "density_schedule", "cubic", begin=begin))


@pytest.mark.parametrize("name", names("update"))
def test_updates_may_end_before_the_first_step(build, name):
    """The warm-up asks for a fraction whether an update is due or not."""
    schedule = component(build, "update", name, zeta=0.5, until=0.001)
    steps = testing.fixtures.training_steps()
    assert not any(schedule.due(step) for step in steps)
    assert all(0 <= schedule.fraction(step) <= 0.5 for step in steps)


SENTENCES = (
    [{"drop": drop} for drop in names("drop")]
    + [{"grow": grow} for grow in names("grow")]
    + [{"redistribution": share, "grow": "gradient"} for share in names("redistribution")]
    + [{"redistribution": "global", "grow": "gse", "drop": drop} for drop in ("snip", "per-sign")]
    + [{"grow": {"name": "ch3-l3", "soft": True}, "percolates": True, "allocation": "small-world"}]
    + [{"percolates": True}, {"settles": 0.5}, {"state_kept": 0.0}, {"dense_last": True}]
)
"""Each part once; parts meet in `UpdateParts` alone."""


@pytest.mark.parametrize("sentence", SENTENCES, ids=str)
def test_a_sentence_keeps_its_connections(build, sentence):
    topology = component(build, "topology", "dynamic", **{"density": 0.2, **sentence})
    testing.check_topology(topology)


@pytest.mark.parametrize(
    "parameters",
    [
        {"zeta": 0.0},
        {"zeta": 0.99},
        {"epsilon": 1000},
        {"epsilon": 0.5},
        {"evolve": "all-but-last"},
        {"grown": "zeros"},
        {"update_every": 2},
        {"update_until": 4},
        {"density": 0.1, "allocation": "erk"},
        {"density": 0.1, "allocation": "uniform"},
    ],
    ids=str,
)
def test_set_with(build, parameters):
    testing.check_topology(component(build, "topology", "set", **parameters))


@pytest.mark.parametrize("name", names("pruning"))
def test_pruning(build, name):
    testing.check_pruning(component(build, "pruning", name))


@pytest.mark.parametrize("parameters", [{"count_dead": True}, {"percentile": 99}], ids=str)
def test_importance_pruning_with(build, parameters):
    testing.check_pruning(component(build, "pruning", "importance", **parameters))


@pytest.mark.parametrize("name", names("observer"))
def test_observer(build, name):
    testing.check_observer(component(build, "observer", name))


@pytest.mark.parametrize("name", names("activation"))
def test_activation(build, name):
    testing.check_activation(component(build, "activation", name))


@pytest.mark.parametrize("name", names("initializer"))
def test_initializer(build, name):
    testing.check_initializer(component(build, "initializer", name))


@pytest.mark.parametrize("name", names("loss"))
def test_loss(build, name):
    testing.check_loss(component(build, "loss", name))


@pytest.mark.parametrize("name", names("optimizer"))
def test_optimizer(build, name):
    testing.check_optimizer(component(build, "optimizer", name))


@pytest.mark.parametrize("name", names("schedule"))
def test_schedule(build, name):
    testing.check_schedule(component(build, "schedule", name))


@pytest.mark.parametrize("name", [name for name in names("model") if name not in OWN_TESTS])
@pytest.mark.parametrize("loss", names("loss"))
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_model(build, name, loss, dropout):
    model = component(build, "model", name, dropout=dropout)
    outputs = 6 if name == "autoencoder" else 3
    testing.check_model(model, build("optimizer", "sgd"), outputs, build("loss", loss))


@pytest.mark.parametrize("output", ["tanh", "sigmoid"])
def test_a_model_with_an_activation_behind_its_outputs(build, output):
    model = component(build, "model", "autoencoder", output=output, dropout=0.3)
    testing.check_model(model, build("optimizer", "sgd"), 6, build("loss", "squared-error"))


@pytest.mark.parametrize("name", names("objective"))
def test_objective(build, name):
    testing.check_objective(component(build, "objective", name))


@pytest.mark.parametrize(
    "given",
    [
        {"name": "classification", "loss": "mse"},
        {"name": "dense-output", "loss": "binary-cross-entropy"},
        {"name": "reconstruction", "noise": 0.2},
        {"name": "reconstruction", "noise": 0.2, "fresh": True},
    ],
    ids=str,
)
def test_objective_with(build, given):
    testing.check_objective(build("objective", given))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("topology", {"name": "set", "zeta": 1.5}, "topology.zeta"),
        ("topology", {"name": "set", "epsilon": -1}, "topology.epsilon"),
        ("topology", {"name": "set", "epsilon": 3, "density": 0.1}, "not both"),
        ("topology", {"name": "set", "zta": 0.3}, "Did you mean 'zeta'?"),
        ("topology", "sett", "Did you mean 'set'?"),
        ("model", {"name": "mlp", "hidden": [10, 0]}, "model.hidden[1]"),
        ("model", {"name": "mlp"}, "hidden"),
        ("model", {"name": "mlp", "hidden": [3], "activation": "rleu"}, "model.activation.name"),
        ("model", {"name": "mlp", "hidden": [3], "dropout": 1.0}, "model.dropout"),
        ("optimizer", {"name": "sgd", "learning_rate": "0.1"}, "optimizer.learning_rate"),
        ("pruning", {"name": "importance", "percentile": 120}, "pruning.percentile"),
        ("backend", 3, "backend"),
    ],
)
def test_a_wrong_parameter_is_named_in_one_line(plugins, kind, given, message):
    with pytest.raises(SuiteError) as caught:
        plugins.validate(kind, given, kind)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
