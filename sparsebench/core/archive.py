"""Stores named arrays and a few facts in one npz file, which is read one array at a time.

Any numpy can read it: `np.load(file)["NAME"]`. The facts are JSON text in the array `facts`.
Nothing is pickled or compressed, so an array takes as many bytes as its header says.
"""

from __future__ import annotations

import contextlib
import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sparsebench.core.arrays import Array

FACTS = "facts"

UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError,
    RuntimeError, SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""The exceptions that numpy and zipfile raise for a file that is not an npz file or is cut off.
Some are syntax errors, because numpy parses the header of an array with Python's parser."""


class BadArchive(ValueError):
    """A file that `write_archive` did not write, or that is damaged."""


def write_archive(
    stream: BinaryIO, facts: Mapping[str, Any], arrays: Iterable[tuple[str, Array]]
) -> None:
    """Write the facts as JSON, then the arrays one by one. `arrays` may be a generator, so that
    only one array has to be in memory."""
    text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
        _add(file, FACTS, text)
        for name, array in arrays:
            _add(file, name, array)


def _add(file: zipfile.ZipFile, name: str, array: Array) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


class Archive(Mapping[str, Array]):
    """The arrays of a file by name, and its `facts`. Each array is read on access, and its checksum
    verified. Opening the file or reading an array raises BadArchive if the file is damaged or was
    not written by `write_archive`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.ExitStack() as opened:
            try:
                stream = opened.enter_context(path.open("rb"))
                if not zipfile.is_zipfile(stream):
                    raise BadArchive(f"{path.name} is not an npz file")
                self._file: Any = np.lib.npyio.NpzFile(stream, own_fid=True, allow_pickle=False)
                self._check_members()
                self.facts: dict[str, Any] = json.loads(self[FACTS].tobytes())
                if not isinstance(self.facts, dict):
                    raise ValueError("its facts are not an object")
            except UNREADABLE as error:
                raise BadArchive(f"{path.name} cannot be read: {_line(error)}") from error
            opened.pop_all()  # closed with the NpzFile, at the latest when that is collected

    def _check_members(self) -> None:
        for member in self._file.zip.infolist():
            if member.compress_size != member.file_size:
                raise BadArchive(f"{self.path.name}: {member.filename} is compressed")

    def __getitem__(self, name: str) -> Array:
        try:
            array: Array = self._file[name]
        except KeyError:
            raise
        except UNREADABLE as error:
            raise BadArchive(f"{self.path.name}: {name} cannot be read: {_line(error)}") from error
        return array

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._file.files if name != FACTS)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def close(self) -> None:
        self._file.close()


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


class WithPrefix(Mapping[str, Array]):
    """The arrays whose names start with `PREFIX.`, keyed by the remainder of their names."""

    def __init__(self, whole: Mapping[str, Array], prefix: str) -> None:
        self._whole = whole
        self._prefix = f"{prefix}."

    def __getitem__(self, name: str) -> Array:
        return self._whole[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._whole if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
