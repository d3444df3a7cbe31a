"""Every example of plugins/README.md is a plugin that loads and passes the conformance kit."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from records import FakeRun, make_record, make_trial
from small import small_work

from sparsebench import hookspecs, testing
from sparsebench.analysis.report_data import report_data
from sparsebench.cli import main
from sparsebench.core.training.loop import train
from sparsebench.discovery import load_plugins
from sparsebench.registry import HOOKS, ReportSection
from sparsebench.report.document import plain
from sparsebench.report.sections import plugin_sections

README = Path(__file__).parents[2] / "plugins" / "README.md"
EXAMPLE = re.compile(r"^## (register_\w+)\(.*?```python\n(.*?)```", re.DOTALL | re.MULTILINE)
EXAMPLES = dict(EXAMPLE.findall(README.read_text()))
CHECKS = {
    "topology": testing.check_topology,
    "allocation": testing.check_allocation,
    "drop": testing.check_drop,
    "grow": testing.check_grow,
    "update": testing.check_update_schedule,
    "redistribution": testing.check_redistribution,
    "density_schedule": testing.check_density_schedule,
    "pruning": testing.check_pruning,
    "activation": testing.check_activation,
    "initializer": testing.check_initializer,
    "loss": testing.check_loss,
    "objective": testing.check_objective,
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


@pytest.mark.parametrize(
    ("hook", "sentence"),
    [
        ("register_topologies", {"name": "my-rigl"}),
        ("register_drops", {"name": "set", "drop": "saliency"}),
        ("register_grows", {"name": "set", "grow": "busy-inputs"}),
        ("register_allocations", {"name": "set", "allocation": "dense-output", "density": 0.2}),
        ("register_update_schedules", {"name": "rigl", "density": 0.3, "update": "once"}),
        ("register_redistributions", {"name": "set", "redistribution": "by-size"}),
        ("register_density_schedules", {"name": "granet", "density_schedule": "straight"}),
    ],
)
def test_example_trains_in_a_sentence(tmp_path, hook, sentence):
    plugins, _ = load(tmp_path, hook)

    def build(kind, given):
        return plugins.build(kind, plugins.validate(kind, given, kind))

    if sentence["name"] == "granet":
        sentence = {**sentence, "density": 0.1, "update_every": 5}
    result = train(small_work(build, topology=sentence, epochs=3))
    assert sum(sum(epoch.grown) for epoch in result.epochs) > 0


def test_example_of_suites(tmp_path):
    plugins, file = load(tmp_path, "register_suites")
    assert file.parent / "suites" in plugins.suite_folders


def test_example_of_a_report_section(tmp_path):
    plugins, _ = load(tmp_path, "register_report_sections")
    found = report_data([FakeRun([make_record(make_trial())])])
    sections = {made.title: made for made in plugin_sections(found, plugins.report_sections)}
    section = sections["Slowest trials"]
    assert section.place == "after"
    (made,) = section.tables
    assert made.header == ["backend", "trial", "seconds"]
    assert "numba-csr" in made.rows[0]
    assert plugin_sections(report_data([]), plugins.report_sections) == []


def test_a_section_that_raises_is_a_line_of_the_report():
    def raises(found):
        raise KeyError("no such column")

    declared = [ReportSection("Odd", raises, "after", "odd (odd.py)")]
    (section,) = plugin_sections(report_data([]), declared)
    (line,) = section.blocks
    assert "KeyError" in plain(line)
    assert "odd.py" in plain(line)


def test_example_of_a_command(tmp_path, monkeypatch, capsys):
    plugins, _ = load(tmp_path, "register_commands")
    monkeypatch.setattr("sparsebench.discovery.load_plugins", lambda: plugins)
    with pytest.raises(SystemExit) as ended:
        main(["greet", "Ada", "--loud"])
    assert (ended.value.code, capsys.readouterr().out) == (0, "HELLO ADA\n")
    with pytest.raises(SystemExit):
        main(["greet", "--help"])
    assert "Greet NAME" in capsys.readouterr().out
