"""Shared by all tests: the built-in components, built from what a suite would say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins

settings.register_profile("no-deadline", deadline=None)  # no test asserts on wall-clock time
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture(scope="session")
def build(plugins: Plugins) -> Callable[[str, Any], Any]:
    """build("topology", {"name": "set", "zeta": 0.2})"""

    def build(kind: str, given: Any) -> Any:
        return plugins.build(kind, plugins.validate(kind, given, kind))

    return build
