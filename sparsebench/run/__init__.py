"""Runs trials: `session` schedules them, `supervisor` watches each one, and `preflight` compiles
kernels and audits backends before the first."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """Lets `sparsebench.run(...)` call `api.run`. Importing this package makes it the attribute
    `run` of sparsebench, in place of the function of that name."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        from sparsebench.api import run

        return run(*arguments, **named)


sys.modules[__name__].__class__ = _CallablePackage
