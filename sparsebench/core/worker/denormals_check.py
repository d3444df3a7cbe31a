"""Which threads of a process flush denormals to zero: measured in each pool there is.

Starts no pool and imports no library: what a trial does not use is not asked.
"""

from __future__ import annotations

import sys
from typing import Any

from sparsebench.core.worker.denormals import flushes

PRODUCT = 256
"""Rows of the product that is to reach every thread of BLAS."""


def flushed() -> dict[str, Any]:
    """`flush_to_zero`: whether all do; `flush_to_zero_in`: whether those of each pool do.

    The pools are main, numba and blas.
    """
    pools = {"main": flushes()}
    if "numba" in sys.modules and threading_layer() is not None:
        from sparsebench.core.worker.denormals_kernel import numba_threads_flush

        pools["numba"] = numba_threads_flush()
    if "numpy" in sys.modules:
        pools["blas"] = _blas_threads_flush()
    return {"flush_to_zero": all(pools.values()), "flush_to_zero_in": pools}


def threading_layer() -> str | None:
    """What runs numba's parallel kernels; None if none has run."""
    try:
        return str(sys.modules["numba"].threading_layer())
    except ValueError:
        return None


def _blas_threads_flush() -> bool:
    """A product that makes denormals, and one that reads them; each is to be zero."""
    import numpy as np

    tiny = np.finfo(np.float32).tiny
    large = np.ones((PRODUCT, PRODUCT), dtype=np.float32)
    small = np.full_like(large, tiny)
    small_root = np.full_like(large, 2.0**-70)
    denormal = small.view(np.uint32) >> np.uint32(1)  # half of the smallest normal number
    made = small_root @ small_root
    read = denormal.view(np.float32) @ large
    return not (made.any() or read.any())
