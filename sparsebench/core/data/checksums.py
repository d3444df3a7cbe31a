"""Checksums of files, each hashed once and remembered in the user's cache."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from sparsebench.core.files import write_atomically
from sparsebench.errors import DataError
from sparsebench.folders import cache_directory


def file_sha256(path: Path, *, remember: bool = True) -> str:
    """sha256 of a file. The result is remembered under the file's path, size, inode, and times of
    modification and change.

    `remember=False` hashes the file again. If the cache cannot be used, this is only slower.
    """
    before = _mark(path)
    memory = _memory()
    known = memory.get(str(path.resolve()))
    if remember and isinstance(known, dict) and known.get("mark") == before:
        return str(known.get("sha256"))
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if _mark(path) == before:
        memory[str(path.resolve())] = {"mark": before, "sha256": digest}
        with suppress(OSError):
            _memory_file().parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_memory_file(), json.dumps(memory, indent=1))
    return digest


def is_remembered(path: Path, sha256: str) -> bool:
    """Whether the file, as it is now, has been hashed and had this checksum."""
    return _memory().get(str(path.resolve())) == {"mark": _mark(path), "sha256": sha256}


def _mark(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _memory_file() -> Path:
    return cache_directory() / "verified.json"


def _memory() -> dict[str, Any]:
    try:
        memory = json.loads(_memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}
