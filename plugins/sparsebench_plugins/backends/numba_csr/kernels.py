"""The choice of kernels: explicit vectors, or plain loops, which also run as plain Python."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def kernels(name: str) -> Any:
    """The functions of `plain`, or under the same names those with explicit vectors ("simd")."""
    if name == "plain":
        from sparsebench_plugins.backends.numba_csr import plain

        return plain
    from sparsebench_plugins.backends.numba_csr import activation_kernels, large_batch, small_batch

    return SimpleNamespace(
        activate=activation_kernels.activate,
        deactivate=activation_kernels.deactivate,
        forward=large_batch.forward,
        backward=large_batch.backward,
        sum_rows=large_batch.sum_rows,
        small_batch_forward=small_batch.forward,
        small_batch_backward=small_batch.backward,
    )
