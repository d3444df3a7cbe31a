from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparsebench.run.kernel_cache import numba_name
from sparsebench.store.store import Store

PLUGIN = """
from dataclasses import dataclass

from sparsebench import hookimpl
from sparsebench.core.training.work import Result


@dataclass(frozen=True)
class Compiled:
    def warm_up(self, work):
        self.run(work)

    def run(self, work):
        from a_compiled_plugin.kernel import double

        return Result(measures={"test_accuracy": double(1.0)}, layers=[], network=None)


@dataclass(frozen=True)
class Part:
    pass


@hookimpl
def register_trainers(register):
    register("compiled-answer", Compiled)


@hookimpl
def register_backends(register):
    register("compiled-answer", Part, requires=("numba",))
"""

KERNEL = """
from numba import njit

from a_compiled_plugin.helper import twice


@njit(cache=True)
def double(x):
    return twice(x)
"""

HELPER = """
from numba import njit


@njit(cache=True)
def twice(x):
    return {} * x
"""

SUITE = """
schema = 1
name = "answers"
title = "What a kernel says"

[trial]
dataset = "wine"
model = { hidden = [4] }
topology = { name = "static", density = 0.5 }
backend = "compiled-answer"
trainer = "compiled-answer"
epochs = 1
batch_size = 32
threads = 1
"""


@pytest.mark.minutes
def test_an_edited_helper_of_a_kernel_is_compiled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba looks at the file of a cached function, not at those of what it calls."""
    package = tmp_path / "site" / "a_compiled_plugin"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN)
    (package / "kernel.py").write_text(KERNEL)
    info = tmp_path / "site" / "a_compiled_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-compiled-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sparsebench]\nanswers = a_compiled_plugin\n")
    (tmp_path / "answers.toml").write_text(SUITE)
    path = os.pathsep.join(filter(None, [str(package.parent), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.chdir(tmp_path)
    answers = []
    for factor in ("2", "3"):
        (package / "helper.py").write_text(HELPER.format(factor))
        command = [sys.executable, "-m", "sparsebench", "run", "answers.toml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        [record] = Store(tmp_path / ".sparsebench").run("latest").records
        answers.append(record.measures["test_accuracy"])
    assert answers == [2.0, 3.0]


CACHED = """
from numba import njit


@njit(cache=True)
def half(x):
    return x / 2


half(1.0)
print(sum(half.stats.cache_hits.values()), sum(half.stats.cache_misses.values()))
"""


def test_numba_keeps_compiled_code_where_the_links_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "sources" / "half.py"
    script.parent.mkdir()
    script.write_text(CACHED)
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / numba_name(script.parent)).symlink_to(shared)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "one"))
    seen = [
        subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert seen == [["0", "1"], ["1", "0"]]
    assert {file.suffix for file in shared.iterdir()} == {".nbi", ".nbc"}


def test_machines_that_share_a_cache_keep_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "half.py"
    script.write_text(CACHED)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    seen = []
    for cpu in ("generic", "haswell", "generic", "haswell"):
        monkeypatch.setenv("NUMBA_CPU_NAME", cpu)
        monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True
        )
        seen.append(done.stdout.split())
    assert seen == [["0", "1"], ["0", "1"], ["1", "0"], ["1", "0"]]
