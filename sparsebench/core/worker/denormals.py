"""Makes the processor treat denormal numbers as zero in a trial's process, because they slow it
down.

A thread inherits the setting from the thread that starts it, so it is made in the main thread
before anything that starts threads is imported. Free of heavy imports.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

_ROOM = 256
"""Bytes for a C library's fenv_t, more than any needs."""

_DENORMAL: float = struct.unpack("<d", (1).to_bytes(8, "little"))[0]
_HALVED = 0.5

# (system, machine): where the control register is in fenv_t, its bytes, the bits to set.
# x86: flush to zero and denormals are zero, of mxcsr. ARM: FZ of fpcr is both.
_REGISTERS = {
    ("linux", "x86_64"): (28, 4, 0x8040),
    ("linux", "aarch64"): (0, 4, 1 << 24),
    ("darwin", "x86_64"): (4, 4, 0x8040),
    ("darwin", "arm64"): (8, 8, 1 << 24),
}

POOLS: dict[str, Callable[[], bool | None]] = {}
"""Further thread pools by name: a function that returns whether all threads of the pool treat
denormals as zero, or None if it has no threads. The module that makes a pool adds it here."""

PRODUCT = 256
"""Rows of a product that is large enough to use every thread of BLAS."""


def flush_to_zero() -> bool:
    """Treat denormals as zero in this thread and those that it starts from now on.

    Returns False if that is impossible. numpy's finfo warns that the smallest denormal is zero,
    which is intended, so this warning is not shown.
    """
    known = _REGISTERS.get((sys.platform, platform.machine()))
    library = _libm()
    if known is None or library is None:
        return False
    offset, size, bits = known
    environment = _environment(library)
    register = int.from_bytes(environment[offset : offset + size], "little")
    environment[offset : offset + size] = list((register | bits).to_bytes(size, "little"))
    library.fesetenv(environment)
    if not flushes():
        return False
    warnings.filterwarnings(
        "ignore", "The value of the smallest subnormal", UserWarning, module=r"numpy\."
    )
    return True


@contextlib.contextmanager
def flushing_to_zero() -> Iterator[None]:
    """Within the block, treat denormals as zero in this thread. Threads started in it keep doing so
    afterwards; threads that exist already are not changed."""
    library = _libm()
    before = _environment(library) if library is not None else None
    try:
        with warnings.catch_warnings():
            flush_to_zero()
            yield
    finally:
        if library is not None:
            library.fesetenv(before)


def flushes() -> bool:
    """Whether this thread treats denormals as zero and makes none; measured by arithmetic."""
    return sys.float_info.min * _HALVED == 0.0 and _DENORMAL * 2.0**60 == 0.0


def flushed() -> dict[str, Any]:
    """Settings of a record: `flush_to_zero`, whether all threads treat denormals as zero, and
    `flush_to_zero_in`, the same for each pool: main, numba, blas and those in POOLS.

    Existing pools are measured; no pool is started and no library imported for that.
    """
    pools = {"main": flushes()}
    from sparsebench.core.worker.limits import threading_layer

    if threading_layer() is not None:
        from sparsebench.core.worker.denormals_kernel import numba_threads_flush

        pools["numba"] = numba_threads_flush()
    if "numpy" in sys.modules:
        pools["blas"] = _blas_threads_flush()
    for name, flushes_all in POOLS.items():
        if (found := flushes_all()) is not None:
            pools[name] = found
    return {"flush_to_zero": all(pools.values()), "flush_to_zero_in": pools}


def _blas_threads_flush() -> bool:
    """Whether BLAS treats denormals as zero: a product that makes denormals and one that reads them
    both give zero."""
    import numpy as np

    tiny = np.finfo(np.float32).tiny
    large = np.ones((PRODUCT, PRODUCT), dtype=np.float32)
    small = np.full_like(large, tiny)
    small_root = np.full_like(large, 2.0**-70)
    denormal = small.view(np.uint32) >> np.uint32(1)  # half of the smallest normal number
    made = small_root @ small_root
    read = denormal.view(np.float32) @ large
    return not (made.any() or read.any())


def _environment(library: ctypes.CDLL) -> ctypes.Array[ctypes.c_ubyte]:
    """The floating-point environment of this thread, as the C library keeps it."""
    environment = (ctypes.c_ubyte * _ROOM)()
    library.fegetenv(environment)
    return environment


def _libm() -> ctypes.CDLL | None:
    """The C library that has fegetenv and fesetenv; None if there is none."""
    for name in (None, "libm.so.6", "libm.so", "libm.dylib"):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(name)
            if hasattr(library, "fegetenv") and hasattr(library, "fesetenv"):
                return library
    return None
