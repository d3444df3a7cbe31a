"""What runs numba's parallel kernels in a trial: the same layer wherever it is there.

numba would take tbb if some package has brought it along, and with it another schedule.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path

PRIORITY = "NUMBA_THREADING_LAYER_PRIORITY"
CHOICE = "NUMBA_THREADING_LAYER"
ORDER = ("omp", "workqueue", "tbb")


def environment() -> dict[str, str]:
    """The variables that choose; none where the user's own do. `CHOICE` beats `PRIORITY`."""
    return {} if PRIORITY in os.environ else {PRIORITY: " ".join(ORDER)}


def expected() -> str:
    """The layer a trial will have, as far as can be told without importing numba."""
    given = os.environ.get(CHOICE) or os.environ.get(PRIORITY)
    if given is not None:
        return given
    return next((layer for layer in ORDER if _loads(layer)), "")


def _loads(layer: str) -> bool:
    """Whether numba was built with it and the libraries it needs are here."""
    found = importlib.util.find_spec("numba")
    if found is None or found.origin is None:
        return False
    stem = {"omp": "omppool", "tbb": "tbbpool"}.get(layer, layer)
    for file in (Path(found.origin).parent / "np" / "ufunc").glob(f"{stem}.*"):
        try:
            ctypes.CDLL(str(file))
        except OSError:
            continue
        return True
    return False
