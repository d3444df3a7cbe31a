"""Every example of plugins/README.md is a plugin that loads and passes the conformance kit."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from small import small_work

from sparsebench import hookspecs, testing
from sparsebench.discovery import load_plugins
from sparsebench.registry import HOOKS

README = Path(__file__).parents[2] / "plugins" / "README.md"
EXAMPLE = re.compile(r"^## (register_\w+)\(.*?```python\n(.*?)```", re.DOTALL | re.MULTILINE)
EXAMPLES = dict(EXAMPLE.findall(README.read_text()))
CHECKS = {
    "topology": testing.check_topology,
    "pruning": testing.check_pruning,
    "activation": testing.check_activation,
    "initializer": testing.check_initializer,
    "loss": testing.check_loss,
    "optimizer": testing.check_optimizer,
    "schedule": testing.check_schedule,
    "dataset": testing.check_dataset,
    "backend": testing.check_backend,
    "observer": testing.check_observer,
}


def load(tmp_path, hook):
    file = tmp_path / f"example_{hook}.py"
    file.write_text(EXAMPLES[hook])
    return load_plugins([file]), file


def hook_signatures():
    return {
        name: list(inspect.signature(function).parameters)
        for name, function in vars(hookspecs).items()
        if name.startswith("register_")
    }


@pytest.mark.parametrize(("hook", "arguments"), list(hook_signatures().items()))
def test_every_hook_is_documented(hook, arguments):
    assert f"## {hook}({', '.join(arguments)})" in README.read_text()
    assert hook in EXAMPLES


@pytest.mark.parametrize("kind", list(HOOKS))
def test_example_registers_and_conforms(tmp_path, build, kind):
    before = {entry.name for entry in load_plugins()[kind]}
    plugins, _ = load(tmp_path, HOOKS[kind])
    (entry,) = [entry for entry in plugins[kind] if entry.name not in before]
    assert entry.unavailable() is None
    assert entry.summary
    component = plugins.build(kind, plugins.validate(kind, entry.name, kind))
    if kind in CHECKS:
        CHECKS[kind](component)
    elif kind == "model":
        smooth = plugins.validate(kind, {"name": entry.name, "activation": "tanh"}, kind)
        testing.check_model(plugins.build(kind, smooth), build("optimizer", "sgd"))
    elif kind == "trainer":
        result = component.run(small_work(build, epochs=2))
        assert result.measures["test_accuracy"] > 0
    else:
        assert kind == "executor"
        assert component.slots == 1


def test_example_of_suites(tmp_path):
    plugins, file = load(tmp_path, "register_suites")
    assert file.parent / "suites" in plugins.suite_folders
