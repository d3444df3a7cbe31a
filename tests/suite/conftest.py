from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from suite_files import HEAD, TOYS, Expand, Write

from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins
from sparsebench.suite.expand import expand
from sparsebench.suite.suite import Suite, read_suite


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **kwargs: [])
    return load_plugins([TOYS])


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A suite file of the head and what is given; read."""
    monkeypatch.chdir(tmp_path)

    def write(text: str = "", head: str = HEAD) -> Suite:
        file = tmp_path / "small.toml"
        file.write_text(head + text)
        return read_suite(file)

    return write


@pytest.fixture
def trials(suite: Write, plugins: Plugins, tmp_path: Path) -> Expand:
    """The trials of the head and what is given."""

    def trials_of(text: str = "", **options: Any) -> list[Trial]:
        return expand(suite(text), plugins, data_dir=tmp_path, **options)

    return trials_of
