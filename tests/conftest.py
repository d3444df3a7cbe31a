"""Shared by all tests: built-in components, one folder of compiled code, and what is slow."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins

settings.register_profile("no-deadline", deadline=None)  # no test asserts on wall-clock time
settings.load_profile("no-deadline")

HERE = Path(__file__).parent

SLOW = (
    "analysis/test_false_alarms.py", "analysis/test_real_run.py", "analysis/test_ab_rounds.py",
    "audit/test_auditing_runs.py", "audit/test_probe.py", "ci", "cli/test_ab.py",
    "cli/test_cli_baseline.py", "cli/test_cli_doctor.py", "cli/test_cli_light.py",
    "cli/test_cli_outputs.py", "cli/test_cli_run.py",
    "cli/test_cli_shards.py", "cli/test_exit_codes.py", "cli/test_export_model.py",
    "cli/test_schemas.py", "cli/test_slow_plugin.py", "core/training/test_resuming.py",
    "core/training/test_sharing.py", "dask", "faults", "notebook", "parallel/hogwild",
    "parallel/scaling", "parallel/test_parallel.py", "plugins/test_conformance.py",
    "core/training/test_csr_training.py", "cli/test_csr_run.py", "plugins/test_csr_input.py",
    "plugins/test_numba_csr.py", "plugins/test_numba_kernels.py", "pytest_sparsebench",
    "report/test_html_browser.py", "report/test_latex.py", "rivals",
    "roofline/test_kernel_trials.py", "roofline/test_roofline.py", "run", "sklearn",
    "store/test_any_store.py", "suite/test_fuzz.py", "test_packaging.py", "test_untrusted.py",
)  # fmt: skip
"""Folders and files whose tests start processes, compile kernels or simulate for seconds; they are
marked `slow`, and `make test-fast` leaves them out."""

COMPILING = {
    "network": ("core/training", "objectives", "plugins/test_conformance.py", "parallel",
                "plugins/test_readme_examples.py"),
    "kernels": ("plugins/test_compiled_step.py", "plugins/test_csr_input.py",
                "plugins/test_numba_csr.py", "plugins/test_numba_kernels.py",
                "run/test_denormals.py", "run/test_least_memory.py"),
}  # fmt: skip
"""Tests that compile the same kernels in their own process: one worker of pytest-xdist runs all of
a group, so that none compiles what another is compiling. Of all others, one worker runs a file, or
what its tests share would be made twice."""

MINUTES = tuple((HERE / "minutes.txt").read_text().splitlines())
"""Tests of two seconds and more of a core, of which faster ones hold most: how their names begin.
They are marked `minutes`, and `make test-all` runs them."""

CACHE = "SPARSEBENCH_CACHE"
COMPILED = "SPARSEBENCH_TEST_KERNELS"
"""Where this session and all processes of its tests keep compiled code."""


def pytest_configure(config: pytest.Config) -> None:
    """Kernels are compiled once, not by every test and not by pytest beside its trials.

    Compiled code is kept under a hash of its sources, so it may outlive the session. Workers of
    pytest-xdist inherit the variables.
    """
    if COMPILED not in os.environ:
        kept = getattr(config, "cache", None)
        os.environ[COMPILED] = str(kept.mkdir("kernels")) if kept else tempfile.mkdtemp()
        os.environ["NUMBA_CACHE_DIR"] = str(_folder_of_compiled_code())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before those that -m leaves out are dropped
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if name.startswith(MINUTES):
            item.add_marker(pytest.mark.minutes)
        if name.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The groups by name: `--dist loadgroup` needs a part of node ids that pytest 9.2 removed."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)


def group_of(nodeid: str) -> str:
    """Tests of the same group run in the same worker, one after the other."""
    name = nodeid.removeprefix("tests/")
    groups = (group for group, places in COMPILING.items() if name.startswith(places))
    return next(groups, name.partition("::")[0])


def _folder_of_compiled_code() -> Path:
    from sparsebench.run.kernel_cache import cache_folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE, os.environ[COMPILED])
        plugins = load_plugins()
        names = {
            "dataset": "wine", "model": {"name": "mlp", "hidden": [8]}, "topology": "set",
            "optimizer": "sgd", "backend": "numba-csr", "trainer": "sequential",
        }  # fmt: skip
        parts = {kind: plugins.validate(kind, given, kind) for kind, given in names.items()}
        trial = Trial(**parts, epochs=1, batch_size=1, threads=1, seed=0)
        return cache_folder(trial, plugins)


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> None:
    """What is there when the tests of a file begin is looked at by no collection of garbage: each,
    such as those before every baseline of memory, would take a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ[CACHE] = str(with_kernels(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone, but for compiled code."""
    cache = with_kernels(tmp_path / "cache")
    monkeypatch.setenv(CACHE, str(cache))
    return cache


def with_kernels(cache: Path) -> Path:
    cache.mkdir(exist_ok=True)
    (cache / "numba").symlink_to(Path(os.environ[COMPILED], "numba"))
    return cache


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture(scope="session")
def build(plugins: Plugins) -> Callable[[str, Any], Any]:
    """build("topology", {"name": "set", "zeta": 0.2})"""

    def build(kind: str, given: Any) -> Any:
        return plugins.build(kind, plugins.validate(kind, given, kind))

    return build
