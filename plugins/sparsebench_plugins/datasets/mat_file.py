"""Reads MATLAB files with X and Y, the usual form of data sets for feature selection."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.csr_data import is_dense
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError, nearest
from sparsebench.machine import available_memory
from sparsebench_plugins.datasets.npz_file import FEATURES, TARGETS
from sparsebench_plugins.datasets.params import FileParams


def mat_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    source = str(path)
    if path.stat().st_size > available_memory():
        raise DataError(f"{source} does not fit into the free memory; expected a set that fits")
    try:
        found = loadmat(source)
    except NotImplementedError:  # version 7.3 is HDF5
        from sparsebench_plugins.datasets.hdf5_file import matlab_arrays

        found = matlab_arrays(path)
    except (OSError, ValueError, TypeError, EOFError, MatReadError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{source} is not a MATLAB file: {reason}") from None
    arrays = {name: one for name, one in found.items() if not name.startswith("__")}
    target = None
    if y is None:
        target = _named(arrays, options.target, TARGETS, source, "target")
        y = np.ravel(arrays[target])
        if y.dtype == object:
            y = np.array([str(np.ravel(one)[0]) if np.size(one) else "" for one in y])
    rest = {name: one for name, one in arrays.items() if name != target}
    X: Any = rest[_named(rest, None, FEATURES, source, "X")]
    if options.orientation == "features-in-rows":
        X = X.T
    X = np.ascontiguousarray(X) if is_dense(X) else X.tocsr()
    called = None if target is None else f"variable {target!r}"
    return Parts(X, y, source=source, target=called)


def _named(
    arrays: dict[str, Any], wanted: str | int | None, known: tuple[str, ...], source: str, what: str
) -> str:
    if isinstance(wanted, str):
        if wanted not in arrays:
            raise DataError(f"{source}: no variable {wanted!r}.{nearest(wanted, arrays)}")
        return wanted
    named = [name for name in arrays if re.sub("[^a-z]", "", name.lower()) in known]
    if len(named) == 1 or len(arrays) == 1:
        return named[0] if named else next(iter(arrays))
    raise DataError(
        f"{source} has variables {', '.join(arrays) or 'none'}; expected X and Y: set `target`"
        if what == "target"
        else f"{source} has variables {', '.join(arrays) or 'none'}; expected one called X"
    )
