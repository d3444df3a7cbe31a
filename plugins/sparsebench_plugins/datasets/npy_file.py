"""Reads npy files: one has the features, another one the targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError
from sparsebench.machine import available_memory
from sparsebench_plugins.datasets.params import FileParams
from sparsebench_plugins.datasets.table_parts import completed


def read_npy(path: Path) -> Array:
    """The array in the file. A pickled array is refused."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not an npy file of numbers or texts: {reason}") from None
    if mapped.nbytes > available_memory():
        raise DataError(f"{path} has {mapped.nbytes / 2**30:.1f} GiB; expected what fits in memory")
    return np.ascontiguousarray(mapped)


def npy_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    if y is None:
        raise DataError(
            f"{path} holds the features alone; expected the targets beside it in "
            f"{path.stem}_y.npy (y.npy for X.npy), or named by target_file"
        )
    X = read_npy(path)
    if X.ndim > 2:
        X = X.reshape(len(X), -1)
    if options.orientation == "features-in-rows":
        X = np.ascontiguousarray(X.T)
    parts = Parts(X, y, source=str(path))
    if options.missing != "error" and X.dtype.kind == "f" and len(X) == len(y):
        return completed(parts, options)
    return parts
