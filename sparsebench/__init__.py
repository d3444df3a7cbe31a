"""sparsebench: benchmark and reproduction suite for truly sparse neural-network training.

What a notebook, a script or a plugin may use is named in `__all__`; everything is imported
on first use, so that `import sparsebench` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsebench.api import Run, compare, load_run, run
    from sparsebench.core.methods.protocols import Candidates, LayerUpdate, Needs
    from sparsebench.core.metric import DefaultGate, Metric
    from sparsebench.core.sparse.csr import Change, CsrMatrix, CsrPattern
    from sparsebench.hookspecs import hookimpl
    from sparsebench.registry import Location, OfKind
    from sparsebench.trained import load_model

_WHERE = {
    "hookimpl": "sparsebench.hookspecs",
    "run": "sparsebench.api",
    "compare": "sparsebench.api",
    "load_run": "sparsebench.api",
    "load_model": "sparsebench.trained",
    "Run": "sparsebench.api",
    "Location": "sparsebench.registry",
    "OfKind": "sparsebench.registry",
    "Candidates": "sparsebench.core.methods.protocols",
    "LayerUpdate": "sparsebench.core.methods.protocols",
    "Needs": "sparsebench.core.methods.protocols",
    "Metric": "sparsebench.core.metric",
    "DefaultGate": "sparsebench.core.metric",
    "Change": "sparsebench.core.sparse.csr",
    "CsrMatrix": "sparsebench.core.sparse.csr",
    "CsrPattern": "sparsebench.core.sparse.csr",
}

__all__ = [
    "Candidates",
    "Change",
    "CsrMatrix",
    "CsrPattern",
    "DefaultGate",
    "LayerUpdate",
    "Location",
    "Metric",
    "Needs",
    "OfKind",
    "Run",
    "compare",
    "hookimpl",
    "load_model",
    "load_run",
    "run",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sparsebench")
    if name not in _WHERE:
        raise AttributeError(f"module 'sparsebench' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
