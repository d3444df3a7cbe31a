"""What the tests of executors share: a cluster of two workers, and trials for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import FILES, Cluster, running

from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins
from sparsebench.run.options import Options
from sparsebench.suite.suite import Suite


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers, the same for all tests here; idle they still compute."""
    pytest.importorskip("distributed", reason="needs distributed: sparsebench[dask]")
    with running(tmp_path_factory.mktemp("cluster"), 2) as started:
        yield started


@pytest.fixture
def odd() -> Plugins:
    return load_plugins(FILES)


@pytest.fixture
def suite() -> Suite:
    return Suite(name="odd", trial={}, text="name = 'odd'\n")


@pytest.fixture
def trial() -> Callable[..., Trial]:
    """trial("patient", folder="x", retries=1): parameters of the trainer, or of the trial."""

    def make(trainer: str, seed: int = 0, **given: Any) -> Trial:
        own = {
            key: given.pop(key)
            for key in ("timeout", "memory_limit", "retries", "threads", "data")
            if key in given
        }
        plain = {"name": "odd"}
        return Trial(
            dataset=plain, model=plain, topology=plain, optimizer=plain, backend=plain,
            trainer={"name": trainer, **given}, epochs=2, batch_size=4, seed=seed, suite="odd",
            axes={"trainer": trainer, "seed": seed}, **{"threads": 1, **own},
        )  # fmt: skip

    return make


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(store=tmp_path / "store", data_dir=tmp_path / "data", executor="dask")


@pytest.fixture(scope="session", autouse=True)
def _forget_plugins() -> Iterator[None]:
    yield
    for file in FILES:
        sys.modules.pop(f"sparsebench_plugin_{file.stem}", None)
