"""Shared by all tests: built-in components, one folder of compiled code, and three kinds of test.

A test is plain, or starts processes or compiles kernels (`process`; `make test-fast` leaves these
out), or takes long and holds what a faster one holds in part (`slow`; only `make test-all`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins

settings.register_profile("no-deadline", deadline=None)  # no test asserts on wall-clock time
settings.load_profile("no-deadline")

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


def _folder_of_compiled_code() -> Path:
    from sparsebench.run.kernel_cache import compiled_code

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE, os.environ[COMPILED])
        plugins = load_plugins()
        names = {
            "dataset": "wine", "model": {"name": "mlp", "hidden": [8]}, "topology": "set",
            "optimizer": "sgd", "backend": "numba-csr", "trainer": "sequential",
        }  # fmt: skip
        parts = {kind: plugins.validate(kind, given, kind) for kind, given in names.items()}
        trial = Trial(**parts, epochs=1, batch_size=1, threads=1, seed=0)
        return compiled_code(trial, plugins)


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
