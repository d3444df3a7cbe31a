"""Reads npz files that cannot be trusted: first the headers, then the arrays, and never pickles."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.core.archive import UNREADABLE
from sparsebench.core.data.csr_data import csr_of
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError, nearest
from sparsebench.machine import available_memory

Arrays = dict[str, Any]
"""Arrays by name; a matrix that is stored as csr is a scipy matrix."""
PER_FEATURE = 64
"""Bytes that scaling takes for each feature of a csr matrix. A small file may declare any number of
features, so this has to fit into memory."""
MOST_ARRAYS = 1000
MOST_RATIO = 200
"""The largest accepted ratio of unpacked to packed bytes. It does not apply to arrays of up to
`HARMLESS` bytes, because arrays of zeros have large ratios."""
HARMLESS = 2**30
SPLIT = ("X_train", "y_train", "X_test", "y_test")
CSR_PARTS = ("indptr", "indices", "data", "shape")
"""Arrays of a csr matrix: `X.indptr` or `X_indptr` and so on, or without "X." as scipy's
save_npz names them."""


@dataclass(frozen=True)
class Header:
    """The header of an array in an npz file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored: int
    """Bytes of the array's data in the file, unpacked."""
    packed: int
    """Bytes that the array takes in the file, packed."""

    @property
    def declared(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npz(
    path: Path,
    shapes: Mapping[str, Sequence[int]] | None = None,
    only: Collection[str] | None = None,
) -> Arrays:
    """Read arrays of the file, C-contiguous: those in `shapes` and their labels, or those in
    `only`, or else all. The parts of a csr matrix are returned as one matrix with its name.

    Before anything is unpacked, each array's header is compared with `shapes`, with the file's
    directory and with this machine's memory. Raises DataError.
    """
    headers = read_headers(path)
    starts = csr_starts(headers)
    expected = _with_labels(shapes) if shapes is not None else {}
    for name, shape in expected.items():
        if name not in headers and name not in starts:
            raise DataError(f"{path}: array {name!r} is missing.{nearest(name, headers)}")
        if name not in starts:
            _check_shape(headers[name].shape, shape, f"{path}: {name}")
    of_csr = {start + part: name for name, start in starts.items() for part in CSR_PARTS}
    chosen = expected if only is None else only
    wanted = [
        name for name in headers if not chosen or name in chosen or of_csr.get(name) in chosen
    ]
    if "format" in headers and "" in starts.values():
        wanted.append("format")
    wanted = list(dict.fromkeys(wanted))
    for name in wanted:
        _check_header(headers[name], f"{path}: {name}")
    total = sum(headers[name].declared for name in wanted)
    if total > available_memory():
        raise DataError(
            f"{path} declares {total / 2**30:.1f} GiB of arrays, more than this machine's "
            f"{available_memory() / 2**30:.1f} GiB of free memory; expected a set that fits"
        )
    with _readable(path), np.load(path, allow_pickle=False) as arrays:
        found: Arrays = {name: np.ascontiguousarray(arrays[name]) for name in wanted}
    kind = found.pop("format", None) if "" in starts.values() else None
    said = "csr" if kind is None else " ".join(kind.astype(str).ravel())
    if said != "csr":
        raise DataError(f"{path} holds scipy's {said}; expected csr: save X.tocsr()")
    for name, start in starts.items():
        if start + CSR_PARTS[0] in found:
            where = f"{path}: {name}"
            indptr, indices, data, shape = (found.pop(start + part) for part in CSR_PARTS)
            found[name] = csr_of(indptr, indices, data, shape, where)
            if found[name].shape[1] * PER_FEATURE > available_memory():
                raise DataError(
                    f"{where} has {found[name].shape[1]} features, whose scaling alone does not "
                    "fit into the free memory; expected fewer"
                )
            _check_shape(found[name].shape, expected.get(name, found[name].shape), where)
    return found


def csr_starts(names: Iterable[str]) -> dict[str, str]:
    """The csr matrices in a file: name of the matrix -> the prefix of the names of its parts."""
    known = set(names)
    found = {}
    for name in sorted(known):
        start = name.removesuffix(CSR_PARTS[0])
        if start != name and known.issuperset(start + part for part in CSR_PARTS):
            found[start.rstrip("._") or "X"] = start
    return found


def _check_shape(found: tuple[int, ...], expected: tuple[int, ...], where: str) -> None:
    if found != expected:
        raise DataError(f"{where} has shape {found}; expected {expected}, as listed")


def read_headers(path: Path) -> dict[str, Header]:
    """The headers of the arrays in an npz file, by name."""
    headers = {}
    with _readable(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MOST_ARRAYS:
            raise ValueError(f"it has {len(members)} members, more than {MOST_ARRAYS}")
        for info in members:
            if not info.filename.endswith(".npy"):
                continue
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{info.filename} is packed in a way that numpy does not write")
            with archive.open(info) as stream:
                version = np.lib.format.read_magic(stream)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }.get(version)
                if read is None:
                    raise ValueError(f"npy format {version} is not known")
                shape, _, dtype = read(stream)
                stored = info.file_size - stream.tell()
            name = info.filename.removesuffix(".npy")
            headers[name] = Header(shape, dtype, stored, info.compress_size)
    return headers


def parts_of(arrays: Arrays, source: str) -> Parts:
    """The train and test parts if the file has these four arrays, else X and y."""
    if all(name in arrays for name in SPLIT):
        X_train, y_train, X_test, y_test = (arrays[name] for name in SPLIT)
        return Parts(X_train, y_train, X_test, y_test, source)
    if "X" in arrays and "y" in arrays:
        return Parts(arrays["X"], arrays["y"], source=source)
    raise DataError(
        f"{source} has arrays {', '.join(sorted(arrays)) or 'none'}; "
        f"expected X, y or {', '.join(SPLIT)}"
    )


def _check_header(header: Header, where: str) -> None:
    if header.dtype.hasobject:
        raise DataError(
            f"{where} holds Python objects; expected numbers or strings: save it anew, "
            "texts as y.astype(str)"
        )
    if header.dtype.kind not in "biufUS" or not header.dtype.itemsize:
        raise DataError(f"{where} holds {header.dtype}; expected numbers or strings: save it anew")
    if header.stored != header.declared or min(header.shape, default=0) < 0:
        raise DataError(
            f"{where} declares shape {header.shape} of {header.dtype}, {header.declared} bytes, "
            f"but has {header.stored}; the file is damaged, get it anew"
        )
    if header.declared > HARMLESS and header.declared > MOST_RATIO * header.packed:
        raise DataError(
            f"{where} unpacks {header.packed / 2**20:.1f} MiB to {header.declared / 2**30:.1f} "
            f"GiB, more than {MOST_RATIO} times as much; if it is to be trusted, save it anew "
            "with numpy.savez, unpacked"
        )


def _with_labels(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The shapes, with those of labels added, which a manifest may leave out: one label per row of
    the features."""
    expected = {name: tuple(shape) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        if name == "X" or name.startswith("X_"):
            expected.setdefault("y" + name[1:], tuple(shape[:1]))
    return expected


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn errors about a file that is not an npz, or that is incomplete, into a one-line
    DataError."""
    try:
        yield
    except DataError:
        raise
    except UNREADABLE as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path} is truncated or not an npz file: {reason}; get it or save it anew"
        ) from None
