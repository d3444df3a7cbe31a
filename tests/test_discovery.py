"""Plugins that collide, break, lack something or misspell something: each behaves as promised."""

from __future__ import annotations

import importlib.metadata
import sys
from types import ModuleType, SimpleNamespace

import pytest

from sparsebench import discovery, hookimpl
from sparsebench.discovery import load_plugins
from sparsebench.errors import PluginError, SuiteError, Unsupported

METHOD = """
from dataclasses import dataclass
from sparsebench import hookimpl

@dataclass(frozen=True)
class Mine:
    \"\"\"A method of mine.\"\"\"
    zeta: float = 0.3

@hookimpl
def register_topologies(register):
    register({name!r}, {target}{more})
"""


@pytest.fixture
def write(tmp_path):
    def write(stem, name="mine", target="Mine", more="", text=METHOD):
        file = tmp_path / f"{stem}.py"
        file.write_text(text.format(name=name, target=target, more=more) if "{" in text else text)
        return file

    return write


def test_a_file_registers_what_it_names(write):
    plugins = load_plugins([write("good_one")])
    entry = plugins["topology"]["mine"]
    assert entry.summary == "A method of mine."
    assert plugins.validate("topology", "mine", "topology") == {"name": "mine", "zeta": 0.3}
    assert plugins.build("topology", {"name": "mine", "zeta": 0.1}).zeta == 0.1


def test_a_name_taken_twice_names_both_owners(write):
    with pytest.raises(PluginError) as caught:
        load_plugins([write("first"), write("second")])
    assert "topology 'mine' is registered twice: by first (" in str(caught.value)
    assert "and by second (" in str(caught.value)


def test_a_builtin_name_is_taken_too(write):
    with pytest.raises(PluginError, match="topology 'set' is registered twice: by builtin"):
        load_plugins([write("imitator", name="set")])


def test_an_unknown_name_suggests_the_nearest_and_lists_all(plugins):
    with pytest.raises(PluginError) as caught:
        plugins.entry("topology", "statik")
    assert "unknown topology 'statik'. Did you mean 'static'? Known: " in str(caught.value)


def test_a_file_that_exits_does_not_take_us_with_it(write):
    with pytest.raises(PluginError, match="does not import: SystemExit"):
        load_plugins([write("quitter", text="raise SystemExit(3)\n")])
    assert "sparsebench_plugin_quitter" not in sys.modules


def test_a_file_that_is_not_there():
    with pytest.raises(PluginError, match="does not exist"):
        load_plugins(["nowhere.py"])


class Point(SimpleNamespace):
    dist = None
    value = "somewhere"

    def load(self):
        if isinstance(self.module, Exception):
            raise self.module
        return self.module


@pytest.fixture
def install(monkeypatch):
    """As if these modules (or import errors) came by entry points beside the built-ins."""
    real = importlib.metadata.entry_points(group="sparsebench")

    def install(**modules):
        points = [*real, *(Point(name=name, module=module) for name, module in modules.items())]
        monkeypatch.setattr(discovery.importlib.metadata, "entry_points", lambda group: points)

    return install


def test_an_installed_plugin_that_fails_hurts_only_who_needs_it(install):
    install(rotten=ImportError("libfoo is missing"))
    plugins = load_plugins()
    (info,) = [info for info in plugins.infos if info.error]
    assert info.name == "rotten"
    assert info.error == "ImportError: libfoo is missing"
    assert "set" in plugins["topology"]
    with pytest.raises(PluginError, match=r"rotten \(ImportError: libfoo is missing\)"):
        plugins.entry("topology", "what-rotten-brings")


def test_a_hook_that_raises_leaves_the_others_alone(install):
    def hook(register):
        raise RuntimeError("no data today")

    module = ModuleType("moody")
    module.register_datasets = hookimpl(hook)
    module.__file__ = None
    install(moody=module)
    plugins = load_plugins()
    (info,) = [info for info in plugins.infos if info.error]
    assert info.error == "register_datasets: RuntimeError: no data today"
    assert "digits" in plugins["dataset"]


def test_a_missing_optional_dependency_is_a_reason_not_a_crash(write):
    plugins = load_plugins([write("needy", more=', requires=("no_such_module",)')])
    entry = plugins["topology"]["mine"]
    assert entry.unavailable() == "needs no_such_module, not installed"
    with pytest.raises(Unsupported, match="topology 'mine' is not available: needs no_such_module"):
        plugins.build("topology", {"name": "mine"})


def test_a_missing_module_inside_a_missing_package(write):
    plugins = load_plugins([write("deep", more=', requires=("no_such.module",)')])
    assert plugins["topology"]["mine"].unavailable() == "needs no_such.module, not installed"


def test_requires_is_a_tuple(write):
    with pytest.raises(PluginError, match="tuple of modules it requires, found requires='json'"):
        load_plugins([write("texts", more=', requires="json"')])


def test_a_forgotten_dataclass_says_what_to_do(write):
    text = METHOD.replace("@dataclass(frozen=True)", "").replace("{more}", "")
    plugins = load_plugins([write("plain", text=text)])
    with pytest.raises(SuiteError, match=r"Mine is not a dataclass; put @dataclass"):
        plugins.validate("topology", "mine", "trial.topology")


def test_a_parameter_without_a_schema_is_one_line(write):
    text = METHOD.replace("zeta: float = 0.3", "zeta: object() = 0.3").replace("{more}", "")
    plugins = load_plugins([write("odd_type", text=text)])
    with pytest.raises(PluginError, match="the parameters of Mine have no schema"):
        plugins.validate("topology", "mine", "trial.topology")


def test_a_target_that_does_not_load_says_where(write):
    plugins = load_plugins([write("pointer", target="'no_such_module:Thing'")])
    with pytest.raises(PluginError, match=r"does not load from no_such_module:Thing"):
        plugins["topology"]["mine"].load()


def test_listing_imports_no_component(write):
    plugins = load_plugins([write("lazy", target="'no_such_module:Thing'")])
    assert "mine" in [entry.name for entry in plugins["topology"]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def f(:\n", "does not import: SyntaxError: "),
        ("import no_such_module\n", "does not import: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit(3)\n", "does not import: SystemExit: 3"),
        ("print('hello')\n", "no hook was found in it; put @hookimpl above"),
        ("def register_topologies(register):\n    register('mine', object)\n",
         "no hook was found in it; put @hookimpl above register_topologies"),
        ("from sparsebench import hookimpl\n@hookimpl\ndef register_topology(register): pass\n",
         "unknown hook 'register_topology'. Did you mean 'register_topologies'?"),
    ],
)  # fmt: skip
def test_a_file_that_brings_nothing_is_one_line(write, text, complaint):
    with pytest.raises(PluginError) as caught:
        load_plugins([write("trouble", text=text)])
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
