"""The data set `file`: a user's own file, whose ending decides how it is read."""

from __future__ import annotations

import gzip
import importlib
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError
from sparsebench_plugins.datasets.params import FileParams

Reader = Callable[[Path, FileParams, Array | None], Parts]
"""Called with the file, the parameters, and the targets if they are in a separate file."""

TEXT = "csv_file:text_parts"
READERS = {
    ".csv": TEXT, ".tsv": TEXT, ".tab": TEXT, ".txt": TEXT, ".data": TEXT, ".dat": TEXT,
    ".npz": "npz_file:npz_parts", ".npy": "npy_file:npy_parts",
    ".svm": "sparse_text:svmlight_parts", ".libsvm": "sparse_text:svmlight_parts",
    ".svmlight": "sparse_text:svmlight_parts", ".mtx": "sparse_text:matrix_market_parts",
    ".mat": "mat_file:mat_parts", ".arff": "arff_and_parquet:arff_parts",
    ".parquet": "arff_and_parquet:parquet_parts", ".h5ad": "hdf5_file:h5ad_parts",
}  # fmt: skip
"""Ending of a file -> "module:function" of its reader, in this package."""

CONVERT = {
    ".xlsx": "save it as csv", ".xls": "save it as csv", ".ods": "save it as csv",
    ".rds": "in R, write.csv(x, 'x.csv')", ".rdata": "in R, write.csv(x, 'x.csv')",
    ".json": "pandas.read_json(...).to_csv('x.csv', index=False)",
    ".pkl": "pickles run code: save numpy.savez('x.npz', X=X, y=y)",
    ".feather": "pandas.read_feather(...).to_csv('x.csv', index=False)",
    ".pt": "numpy.savez('x.npz', X=X.numpy(), y=y.numpy())",
}  # fmt: skip
STARTS = {
    b"\x93NUMPY": ".npy", b"MATLAB 5.0": ".mat", b"\x89HDF": "HDF5, as .h5ad and .mat v7.3",
    b"PAR1": ".parquet",
}  # fmt: skip
"""First bytes of binary files -> the format they belong to."""


@dataclass(frozen=True)
class File(FileParams):
    """A user's own file. Labels are integers or strings. The file's own division into train and
    test parts is used if it has one; otherwise one is drawn from the seed."""

    def load(self) -> Parts:
        parts = self.read()
        for note in parts.notes:
            logging.getLogger(__name__).warning("%s: %s", parts.source, note)
        return parts

    def read(self) -> Parts:
        """The same as `load`, but the notes are not printed."""
        path, targets = self.file(), self.targets_file()
        read = reader_of(path)
        if targets is None:
            return read(path, self, None)
        from sparsebench_plugins.datasets.target_file import read_targets

        return read(path, self, read_targets(targets, self.target))


def ending_of(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def reader_of(path: Path) -> Reader:
    """The reader for the file's ending. Raises DataError if there is none, or if the content is
    that of another format."""
    ending = ending_of(path)
    if ending not in READERS:
        how = CONVERT.get(ending, "convert it to csv, or numpy.savez('x.npz', X=X, y=y)")
        raise DataError(
            f"{path} ends in {path.suffix!r}; expected {', '.join(READERS)} (text also .gz). "
            f"To get there: {how}"
        )
    with path.open("rb") as stream:
        start = stream.read(16)
    for known, meant in STARTS.items():
        if start.startswith(known) and meant != ending and ending not in (".mat", ".h5ad"):
            raise DataError(
                f"{path} has the content of {meant}, not of {ending}: rename it to what it is"
            )
    named = READERS[ending]
    if named == TEXT and is_series(path):
        named = "geo_series:series_parts"
    module, _, name = named.partition(":")
    found: Reader = getattr(importlib.import_module(f"sparsebench_plugins.datasets.{module}"), name)
    return found


def is_series(path: Path) -> bool:
    """Whether the first line of a text file says that it is a series matrix of GEO."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            return stream.read(8) in (b"!Series_", b"!Sample_")
    except (OSError, EOFError, zlib.error):
        return False  # the reader says what is wrong
