"""Reads HDF5 files: AnnData of single cells, and MATLAB files of version 7.3. Needs h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError, nearest
from sparsebench.machine import available_memory
from sparsebench_plugins.datasets.label_texts import number_note, targets_of
from sparsebench_plugins.datasets.params import FileParams
from sparsebench_plugins.datasets.table_parts import completed


def opened(path: Path) -> Any:
    """The file, opened for reading. Raises DataError if h5py is not installed, or if the file is
    not HDF5 or is larger than the free memory."""
    try:
        import h5py  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise DataError(f"{path}: needs h5py: pip install 'sparsebench[hdf5]'") from None
    if path.stat().st_size > available_memory():
        raise DataError(f"{path} does not fit into the free memory; expected a set that fits")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not a file of HDF5: {reason}") from None


# --- AnnData --------------------------------------------------------------------------


def h5ad_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    """Read AnnData: biological cells are samples and genes are features; a sparse X becomes csr.
    `target` is a column of obs; if it is None, the only column of words."""
    source = str(path)
    with opened(path) as file:
        if "X" not in file or "obs" not in file:
            raise DataError(f"{source} has no X and obs; expected a file of AnnData")
        X = _matrix(file["X"], source)
        target: str | None = None
        notes: list[str] = []
        if y is None:
            target, y, notes = _obs_target(file["obs"], options, source)
        features = [str(name) for name in _column(file["var"], _index(file["var"]))]
    parts = Parts(
        X, y, source=source, features=features, target=target and f"obs column {target!r}",
        notes=tuple(notes),
    )  # fmt: skip
    return completed(parts, options) if isinstance(X, np.ndarray) else parts


def _matrix(found: Any, source: str) -> Any:
    if hasattr(found, "shape"):
        return np.asarray(found[()], dtype=np.float64)
    from scipy.sparse import csc_array, csr_array

    how = found.attrs.get("encoding-type", found.attrs.get("h5sparse_format", ""))
    shape = found.attrs.get("shape", found.attrs.get("h5sparse_shape"))
    if shape is None or not {"data", "indices", "indptr"} <= set(found):
        raise DataError(f"{source}: X is stored as {how!r}; expected an array, csr or csc")
    parts = tuple(found[name][()] for name in ("data", "indices", "indptr"))
    kind = csc_array if str(how).startswith("csc") else csr_array
    return kind(parts, shape=tuple(int(n) for n in shape)).tocsr()


def _index(frame: Any) -> str:
    name = frame.attrs.get("_index", "_index")
    return name.decode() if isinstance(name, bytes) else str(name)


def _column(frame: Any, name: str) -> Array:
    """A column of obs or var as an array. If it is stored as categories with a code for each row,
    the categories are filled in; a missing one is "" (in the present format of AnnData)."""
    found = frame[name]
    if hasattr(found, "shape"):
        values = found[()]
        older = frame.get("__categories")
        if older is not None and name in older:
            named: Array = _texts(older[name][()])[values]
            return named
        return _texts(values)
    codes, categories = found["codes"][()], _texts(found["categories"][()])
    texts: Array = np.where(codes < 0, "", categories[np.maximum(codes, 0)].astype(str))
    return texts


def _texts(values: Array) -> Array:
    if values.dtype.kind not in "OS":
        return values
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)


def _obs_target(obs: Any, options: FileParams, source: str) -> tuple[str, Array, list[str]]:
    index = _index(obs)
    names = [str(name) for name in obs if name not in (index, "__categories")]
    wanted, said = options.target, []
    if wanted is None:
        labelled = [name for name in names if _column(obs, name).dtype.kind == "U"]
        if len(labelled) != 1:
            raise DataError(
                f"{source}: which column of obs has the labels? set `target` to one of "
                f"{', '.join(labelled or names) or 'none'}"
            )
        wanted = labelled[0]
        said = [f"target: obs column {wanted!r}, the only one of words"]
    if not isinstance(wanted, str) or wanted not in names:
        raise DataError(f"{source}: no column {wanted!r} in obs.{nearest(str(wanted), names)}")
    y = _column(obs, wanted)
    if y.dtype.kind == "U":
        if not all(y):
            count = int((y == "").sum())
            raise DataError(f"{source}: {count} cells have no {wanted!r}; expected a label each")
        y, notes = targets_of(y.tolist())
        said += notes
    return wanted, y, [*said, *number_note(repr(wanted), y)]


# --- MATLAB ---------------------------------------------------------------------------


def matlab_arrays(path: Path) -> dict[str, Any]:
    """The variables of a file of version 7.3, in the form in which `scipy.io.loadmat` returns those
    of older versions."""
    with opened(path) as file:
        return {name: _variable(file, file[name]) for name in file if not name.startswith("#")}


def _variable(file: Any, found: Any) -> Any:
    """A variable of a MATLAB 7.3 file as an array or csc matrix.

    MATLAB stores arrays with their dimensions reversed, sparse matrices as csc, and a cell array
    as references to its contents."""
    if "MATLAB_sparse" in found.attrs:
        from scipy.sparse import csc_array

        rows, indptr = int(found.attrs["MATLAB_sparse"]), found["jc"][()].astype(np.int64)
        data = found["data"][()] if "data" in found else np.empty(0)
        indices = found["ir"][()] if "ir" in found else np.empty(0, dtype=np.int64)
        return csc_array((data, indices.astype(np.int64), indptr), shape=(rows, indptr.size - 1))
    if not hasattr(found, "shape"):
        return np.empty(0)
    values = found[()].T
    if values.dtype == object:
        texts = ["".join(map(chr, np.ravel(file[one][()].T))) for one in values.ravel()]
        return np.array(texts, dtype=str).reshape(values.shape)
    return values
