"""sparsebench: benchmark and reproduction suite for truly sparse neural-network training.

The names below are the interface for notebooks, scripts and plugins. Each is imported on first
use, so that `import sparsebench` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsebench.api import Run as Run
    from sparsebench.api import compare as compare
    from sparsebench.api import load_run as load_run
    from sparsebench.api import run as run
    from sparsebench.core.methods.protocols import Candidates as Candidates
    from sparsebench.core.methods.protocols import LayerUpdate as LayerUpdate
    from sparsebench.core.methods.protocols import Needs as Needs
    from sparsebench.core.metric import DefaultGate as DefaultGate
    from sparsebench.core.metric import Metric as Metric
    from sparsebench.core.sparse.csr import Change as Change
    from sparsebench.core.sparse.csr import CsrMatrix as CsrMatrix
    from sparsebench.core.sparse.csr import CsrPattern as CsrPattern
    from sparsebench.hookspecs import hookimpl as hookimpl
    from sparsebench.registry import Location as Location
    from sparsebench.registry import OfKind as OfKind
    from sparsebench.trained_model import load_model as load_model

_NAMES = {
    "sparsebench.api": ("Run", "compare", "load_run", "run"),
    "sparsebench.core.methods.protocols": ("Candidates", "LayerUpdate", "Needs"),
    "sparsebench.core.metric": ("DefaultGate", "Metric"),
    "sparsebench.core.sparse.csr": ("Change", "CsrMatrix", "CsrPattern"),
    "sparsebench.hookspecs": ("hookimpl",),
    "sparsebench.registry": ("Location", "OfKind"),
    "sparsebench.trained_model": ("load_model",),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sparsebench")
    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'sparsebench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(name for names in _NAMES.values() for name in names)
