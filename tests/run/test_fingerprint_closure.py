"""Which trials an edit makes stale, and which kernels it compiles anew: on a copy of the tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sparsebench
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.run.options import Options
from sparsebench.run.session import run_trials
from sparsebench.suite.suite import Suite

ROOT = Path(sparsebench.__file__).parent.parent

TRIALS = {
    "set on numba": {"topology": {"name": "set", "epsilon": 5}, "backend": "numba-csr"},
    "static on scipy": {"topology": {"name": "static", "epsilon": 5}, "backend": "scipy-csr"},
    "own with a helper": {"topology": "helped", "backend": "scipy-csr"},
    "own alone": {"topology": "alone", "backend": "scipy-csr"},
}

LOOK = """
import json, sys
from pathlib import Path
from sparsebench.discovery import load_plugins
from sparsebench.run.fingerprint import sources
from sparsebench.suite.trial_builder import Builder
from sparsebench.suite.suite import Suite

folder, trials = Path(sys.argv[1]), json.loads(sys.argv[2])
plugins = load_plugins([folder / "helped.py", folder / "alone.py"])
builder = Builder(Suite(name="x", trial={}), plugins, folder)
common = {"dataset": "wine", "model": {"hidden": [4]}, "epochs": 1, "threads": 1}
built = {name: builder.trial({**common, **own}, {}) for name, own in trials.items()}
found = {name: sources(trial, plugins) for name, trial in built.items()}
assert not [name for name in ("numpy", "numba", "scipy") if name in sys.modules]
assert Path(sys.modules["sparsebench_plugins"].__file__).is_relative_to(folder)
print(json.dumps(found))
"""

OWN = """
from dataclasses import dataclass
from sparsebench import hookimpl
{imports}

@dataclass(frozen=True)
class Mine:
    def connections(self, shapes):
        {inside}

@hookimpl
def register_topologies(register):
    register("{name}", Mine)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, and two plugin files, one of which imports a helper in a function."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("sparsebench", "plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    own = {"helped": "from helpers import EPSILON", "alone": "return shapes"}
    for name, inside in own.items():
        text = OWN.format(name=name, imports="", inside=inside)
        (folder / f"{name}.py").write_text(text)
    (folder / "helpers.py").write_text("from more_helpers import EPSILON\n")
    (folder / "more_helpers.py").write_text("EPSILON = 6\n")
    return folder


def look(tree: Path) -> dict[str, dict[str, str]]:
    """`code` and `kernels` of each of `TRIALS`, by a fresh process."""
    path = os.pathsep.join([str(tree), str(tree / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tree), json.dumps(TRIALS)],
        env={**os.environ, "PYTHONPATH": path}, cwd=tree, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def base(tree: Path) -> dict[str, dict[str, str]]:
    return look(tree)


def test_a_hash_is_of_sources_and_not_of_places(
    tree: Path, base: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    shutil.copytree(tree, tmp_path / "elsewhere")
    assert look(tmp_path / "elsewhere") == base
    assert len({found["code"] for found in base.values()}) == len(TRIALS)
    assert base["own alone"]["kernels"] == base["static on scipy"]["kernels"]
    assert base["set on numba"]["kernels"] != base["static on scipy"]["kernels"]


def test_what_is_added_makes_nothing_stale(tree: Path, base: dict[str, dict[str, str]]) -> None:
    """A topology, a data set and a section of a report, as they would come with a commit."""
    plugins = tree / "plugins" / "sparsebench_plugins"
    (plugins / "topologies" / "butterfly.py").write_text("from numba import njit\n\nclass B: ...\n")
    (plugins / "datasets" / "moons.py").write_text("class Moons: ...\n")
    (tree / "sparsebench" / "report" / "moons_section.py").write_text("def section(): ...\n")
    (tree / "sparsebench" / "report" / "summary.py").write_text("# rewritten\n")
    registration = plugins / "__init__.py"
    registration.write_text(
        registration.read_text()
        + '\n\n@hookimpl(specname="register_topologies")\ndef register_more(register):\n'
        + '    register("butterfly", "sparsebench_plugins.topologies.butterfly:B")\n'
    )
    assert look(tree) == base


EDITS = [
    # an edited file, the trials that become stale, those whose kernels compile anew
    ("plugins/sparsebench_plugins/drops.py", {"set on numba"}, set()),  # by default
    ("plugins/sparsebench_plugins/backends/numba_csr/layer.py", {"set on numba"}, set()),
    (  # constants that kernels take from it are compiled into them
        "plugins/sparsebench_plugins/backends/numba_csr/arguments.py",
        {"set on numba"}, {"set on numba"},
    ),
    ("sparsebench/core/sparse/compiled/sampling.py", set(TRIALS), set(TRIALS)),
    ("sparsebench/core/training/loop.py", set(TRIALS), set()),
    ("sparsebench/seeds.py", set(TRIALS), set()),
    ("sparsebench/registry.py", set(), set()),
    ("more_helpers.py", {"own with a helper"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "stale", "compiled"), EDITS, ids=[Path(edit[0]).stem for edit in EDITS]
)
def test_an_edit_makes_stale_what_uses_it(
    tree: Path, base: dict[str, dict[str, str]], file: str, stale: set[str], compiled: set[str]
) -> None:
    text = (tree / file).read_text()
    try:
        (tree / file).write_text(text + "\n# edited\n")
        now = look(tree)
    finally:
        (tree / file).write_text(text)
    assert {name for name in TRIALS if now[name]["code"] != base[name]["code"]} == stale
    assert {name for name in TRIALS if now[name]["kernels"] != base[name]["kernels"]} == compiled


ANSWERS = """
from dataclasses import dataclass
from sparsebench import hookimpl
from sparsebench.core.training.work import Result
import answer_of_a_helper

@dataclass(frozen=True)
class Answers:
    def run(self, work):
        measures = {"test_accuracy": answer_of_a_helper.ANSWER}
        return Result(measures=measures, layers=[], network=None)

@hookimpl
def register_trainers(register):
    register("answers", Answers)
"""


def test_a_trial_whose_helper_was_edited_runs_again(
    tmp_path: Path, suite: Suite, options: Options, trial: Callable[..., Trial]
) -> None:
    """In real processes, which find the helper beside the file that the user named."""
    (tmp_path / "answers.py").write_text(ANSWERS)
    helper = tmp_path / "answer_of_a_helper.py"
    helper.write_text("ANSWER = 0.25\n")
    odd = Path(__file__).parent / "odd_components.py"
    plugins = load_plugins([odd, tmp_path / "answers.py"])
    trials = [trial("answers"), trial("fine")]

    def run() -> tuple[int, Any]:
        summary = run_trials(suite, trials, plugins, options)
        return summary.reused, summary.records[0].measures["test_accuracy"]

    assert run() == (0, 0.25)
    assert run() == (2, 0.25)
    helper.write_text("ANSWER = 0.75\n")
    assert run() == (1, 0.75)
