"""Runs trials: session, supervisor, preflight."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """importlib sets a package as an attribute of its parent, in place of a function there."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        from sparsebench.api import run

        return run(*arguments, **named)


sys.modules[__name__].__class__ = _CallablePackage
