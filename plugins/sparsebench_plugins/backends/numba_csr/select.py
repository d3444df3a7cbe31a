"""Which kernels: explicit vectors, or plain loops (their twins, and what plain Python runs)."""

from __future__ import annotations

from types import ModuleType


def kernels(name: str) -> ModuleType:
    """`simd` or `plain`: modules with the same functions."""
    if name == "plain":
        from sparsebench_plugins.backends.numba_csr import plain

        return plain
    from sparsebench_plugins.backends.numba_csr import simd

    return simd
