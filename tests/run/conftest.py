"""Trials of the made-up components in `odd_components.py`, in real processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins
from sparsebench.run.options import Options
from sparsebench.suite.suite import Suite

PLUGIN = Path(__file__).parent / "odd_components.py"


@pytest.fixture(autouse=True)
def _own_cache(own_cache: Path) -> None:
    pass


@pytest.fixture
def odd() -> Plugins:
    return load_plugins([PLUGIN])


@pytest.fixture
def trial() -> Callable[..., Trial]:
    """trial("sleep", seconds=3, timeout=1): parameters of the trainer, or of the trial."""

    def make(trainer: str, seed: int = 0, **given: Any) -> Trial:
        own = {
            key: given.pop(key) for key in ("timeout", "memory_limit", "retries") if key in given
        }
        plain = {"name": "odd"}
        return Trial(
            dataset=given.pop("dataset", plain),
            model=plain,
            topology=plain,
            optimizer=plain,
            backend=given.pop("backend", plain),
            trainer={"name": trainer, **given},
            epochs=2,
            batch_size=4,
            threads=1,
            seed=seed,
            suite="odd",
            axes={"trainer": trainer},
            **own,
        )

    return make


@pytest.fixture
def suite() -> Suite:
    return Suite(name="odd", trial={}, text="name = 'odd'\n")


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(store=tmp_path / "store", data_dir=tmp_path / "data")


@pytest.fixture
def job(tmp_path: Path, trial: Callable[..., Trial]) -> Callable[..., Job]:
    def make(trainer: str, **given: Any) -> Job:
        return Job(
            trial=trial(trainer, **given),
            folder=tmp_path / "attempt",
            data_dir=tmp_path / "data",
            plugin_files=(PLUGIN,),
        )

    return make


@pytest.fixture(scope="session", autouse=True)
def _forget_plugin() -> Iterator[None]:
    yield
    sys.modules.pop("sparsebench_plugin_odd_components", None)
