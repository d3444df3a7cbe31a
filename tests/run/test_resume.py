from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins, plugin_home
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import CHANGED, agrees, fingerprint, forget_sources
from sparsebench.run.kernel_cache import (
    cache_folder,
    forget_compiled,
    kept_shares,
    representatives,
    without_magnitudes,
)
from sparsebench.run.options import Options
from sparsebench.run.reuse import reusable
from sparsebench.store.attempts import DAMAGED
from sparsebench.store.provenance import hash_of, plugin_list
from sparsebench.store.record import Record

TODAY = {"code": "new", "versions": {"numpy": "2"}, "commit": "b"}
BEFORE = {**TODAY, "code": "old"}
MakeTrial = Callable[..., Trial]


@pytest.fixture
def record(trial: MakeTrial) -> Callable[..., Record]:
    def make(status: str = "ok", code: dict[str, Any] = TODAY, **given: Any) -> Record:
        limits = {k: given.pop(k) for k in ("timeout", "memory_limit") if k in given}
        return Record(
            trial=trial("fine", **limits), attempt=1, status=Status(status), fingerprint=code,
            **given,
        )  # fmt: skip

    return make


RULES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], bool]] = [
    # the record, today's limits, options, whether it is reused
    ({}, {}, {}, True),
    ({}, {}, {"resume": False}, False),
    ({}, {}, {"rerun": "all"}, False),
    ({}, {}, {"rerun": "failed"}, True),
    ({"debug": True}, {}, {}, False),
    ({"code": BEFORE}, {}, {}, False),
    ({"code": BEFORE}, {}, {"reuse_stale": True}, True),
    ({"status": "error"}, {}, {}, True),
    ({"status": "error", "cause": "DataChanged"}, {}, {"reuse_stale": True}, False),
    ({"status": "error"}, {}, {"rerun": "failed"}, False),
    ({"status": "interrupted"}, {}, {"reuse_stale": True}, False),
    ({"status": "skipped"}, {}, {}, False),
    ({"status": "unsupported"}, {}, {}, False),
    ({"status": "timeout", "timeout": 10.0}, {"timeout": 10.0}, {}, True),
    ({"status": "timeout", "timeout": 10.0}, {"timeout": 5.0}, {}, True),
    ({"status": "timeout", "timeout": 10.0}, {"timeout": 11.0}, {}, False),
    ({"status": "timeout", "timeout": 10.0}, {}, {}, False),
    ({"status": "out-of-memory", "memory_limit": 10}, {"memory_limit": 10}, {}, True),
    ({"status": "out-of-memory", "memory_limit": 10}, {"memory_limit": 11}, {}, False),
    ({"status": "out-of-memory", "memory_limit": 10}, {"timeout": 1.0}, {}, False),
    ({"status": "out-of-memory"}, {}, {}, True),
    ({"status": "ok", "timeout": 10.0}, {"timeout": 20.0}, {}, True),
]


@pytest.mark.parametrize(("kept", "limits", "given", "reused"), RULES)
def test_rules(
    record: Callable[..., Record],
    trial: MakeTrial,
    options: Options,
    kept: dict[str, Any],
    limits: dict[str, Any],
    given: dict[str, Any],
    reused: bool,
) -> None:
    found = reusable(trial("fine", **limits), [record(**kept)], TODAY, replace(options, **given))
    assert (found is not None) == reused


def test_the_newest_that_counts_decides(
    record: Callable[..., Record], trial: MakeTrial, options: Options
) -> None:
    good, bad = record(), record("error")
    late = [good, record("interrupted"), record(code=BEFORE), record(debug=True)]
    assert reusable(trial("fine"), late, TODAY, options) is good
    assert reusable(trial("fine"), [good, bad], TODAY, replace(options, rerun="failed")) is None
    assert reusable(trial("fine"), [], TODAY, options) is None


def test_a_damaged_record_is_not_passed_over(
    record: Callable[..., Record], trial: MakeTrial, options: Options
) -> None:
    """An older attempt may have ended otherwise."""
    damaged = record("interrupted", cause=DAMAGED)
    assert reusable(trial("fine"), [record(), damaged], TODAY, options) is None
    good = record()
    assert reusable(trial("fine"), [damaged, good], TODAY, options) is good


def test_the_commit_does_not_count() -> None:
    assert agrees({**TODAY, "commit": "a"}, TODAY)
    assert not agrees({}, TODAY)
    assert not agrees({**TODAY, "code": CHANGED}, TODAY)
    assert not agrees({**TODAY, "versions": {"numpy": "3"}}, TODAY)


def test_observers_count_that_are_asked_for() -> None:
    both = {**TODAY, "observers": {"degrees": "a", "itop": "b"}}
    assert agrees(both, TODAY)
    assert agrees(both, {**TODAY, "observers": {"itop": "b"}})
    assert not agrees(both, {**TODAY, "observers": {"itop": "edited"}})
    assert not agrees(TODAY, {**TODAY, "observers": {"itop": "b"}})


def test_the_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    def hash_now() -> str:
        hash_of.cache_clear()
        return hash_of(tmp_path)

    (tmp_path / "a.py").write_text("a = 1\n")
    first = hash_now()
    (tmp_path / "notes.txt").write_text("nothing\n")
    assert hash_now() == first
    (tmp_path / "a.py").write_text("a = 2\n")
    edited = hash_now()
    assert edited != first
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert hash_now() not in (first, edited)


def test_a_trial_depends_on_the_plugins_it_uses(odd: Plugins, trial: MakeTrial) -> None:
    given = trial("fine")
    base = fingerprint(given, odd)
    assert set(base) == {"code", "kernels", "observers", "versions", "commit"}
    assert set(base["versions"]) == {"numpy", "scipy", "numba"}
    other = replace(given, topology={"name": "static"}, optimizer={"name": "sgd"})
    assert fingerprint(other, odd)["code"] != base["code"]


def test_trials_that_differ_in_magnitude_compile_the_same() -> None:
    one = {"name": "mlp", "hidden": [10, 20], "dropout": 0.3, "activation": {"alpha": 0.5}}
    two = {"name": "mlp", "hidden": [1000], "dropout": 0.1, "activation": {"alpha": 0.6}}
    assert without_magnitudes(one) == without_magnitudes(two)
    assert without_magnitudes(one) != without_magnitudes({**two, "dropout": 0.0})
    assert without_magnitudes(one) != without_magnitudes({**two, "activation": {"name": "relu"}})


def test_kernels_are_kept_by_what_is_compiled(
    odd: Plugins, trial: MakeTrial, tmp_path: Path
) -> None:
    """Of two models of plugins, one without kernels and one with."""
    files = {name: tmp_path / f"{name}.py" for name in ("plain", "compiling")}
    files["plain"].write_text(MODEL.format(name="plain", before=""))
    files["compiling"].write_text(MODEL.format(name="compiling", before="from numba import njit"))
    plugins = load_plugins([*odd.files, *files.values()])
    base = trial("allocates")
    plain, compiling = (replace(base, model={"name": name}) for name in files)
    changed = replace(base, topology={"name": "set"})
    given = (base, plain, compiling)
    assert len({fingerprint(each, plugins)["code"] for each in given}) == 3
    folders = [cache_folder(each, plugins) for each in given]
    assert folders[0] == folders[1] != folders[2]
    assert _links(folders[0]).items() < _links(folders[2]).items()  # the rest is shared
    assert representatives([base, plain, compiling, changed], plugins) == [
        base, plain, compiling, changed
    ]  # fmt: skip
    assert representatives([trial("fine")], plugins) == []  # its trainer does not warm up
    for file in files.values():
        file.write_text(file.read_text() + "# edited")
    forget_sources()
    assert cache_folder(plain, plugins) == folders[1]
    edited = cache_folder(compiling, plugins)
    assert edited != folders[2]
    own = _links(edited).keys() - _links(folders[0]).keys()
    assert {
        name for name, place in _links(edited).items() if place != _links(folders[2])[name]
    } == own


def _links(folder: Path) -> dict[str, Path]:
    return {link.name: link.resolve() for link in folder.iterdir()}


def test_compiled_code_of_old_sources_is_forgotten_unless_others_use_it(
    odd: Plugins, trial: MakeTrial
) -> None:
    base = trial("allocates")
    folder = cache_folder(base, odd)
    shares = kept_shares(base, odd).items()
    for place in _links(folder).values():
        (place / "kernel.nbi").touch()
    first, *rest = shares
    forget_compiled([first])
    kept = {name for name, place in _links(folder).items() if (place / "kernel.nbi").exists()}
    assert kept == {name for name, _ in rest}
    assert _links(folder)[first[0]].is_dir()


MODEL = """
from dataclasses import dataclass
from sparsebench import hookimpl
{before}

@dataclass(frozen=True)
class More:
    pass

@hookimpl
def register_models(register):
    register("{name}", More)
"""


def test_a_plugin_in_a_package_is_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "space" / "methods_of_ours"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("plugin.py", "__init__.py"):
        (package / "sub" / name).touch()
    (tmp_path / "a_module_of_ours.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    plugin = importlib.import_module("space.methods_of_ours.sub.plugin")
    assert plugin_home(plugin) == package
    assert plugin_home(importlib.import_module("space")) is None
    module = importlib.import_module("a_module_of_ours")
    assert plugin_home(module) == tmp_path / "a_module_of_ours.py"


def test_plugins_are_listed_with_their_sources(odd: Plugins) -> None:
    listed = {plugin["name"]: plugin for plugin in plugin_list(odd)}
    assert listed["odd_components"]["source"] == hash_of(odd.files[0])


def test_that_data_is_missing_is_in_the_id_but_not_why(trial: MakeTrial) -> None:
    one, two = (replace(trial("fine"), data={"missing": why}) for why in ("/home/a", "/home/b"))
    assert one.id == two.id != trial("fine").id
    assert replace(one, data={"sha256": "a"}).id != replace(one, data={"sha256": "b"}).id
