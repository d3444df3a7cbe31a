"""Downloads a data set from OpenML into the data directory and lists it in data.json."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench.core.data.catalogue import (
    MANIFEST,
    NAME,
    NAMES,
    Listing,
    find,
    read_entries,
    read_manifest,
)
from sparsebench.core.data.checksums import file_sha256
from sparsebench.core.data.openml import Arrays, Place, download, fetch_command, save_arrays
from sparsebench.core.files import replacing, write_atomically
from sparsebench.errors import DataError


def fetch(
    name: str,
    *,
    openml: str | None = None,
    version: int | None = None,
    target: str | None = None,
    train: int | None = None,
    data_dir: Path,
) -> Listing:
    """Download a data set from OpenML into the data directory and list it in data.json.

    `openml` is its name on OpenML, by default `name`; `version`, `target` and `train` are those of
    `Place`. For a set that is listed in data.json but whose file is missing, its entry provides the
    arguments that are not given, unless `openml` differs from the entry. A set whose file exists is
    only verified by its checksum, and takes no arguments. Raises DataError.
    """
    if not NAME.fullmatch(name):
        raise DataError(f"{name!r} is not a name for a data set; expected {NAMES}")
    options = {"name": openml, "version": version, "target": target, "train": train}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    listed = {listing.name: listing for listing in read_manifest(data_dir)}.get(name)
    if listed is not None and listed.problem is not None:
        raise DataError(listed.problem)
    if listed is not None and listed.path.is_file():
        return _already_there(listed, given)
    place = listed.place if listed is not None else None
    if listed is not None and place is None and openml is None:
        raise DataError(_by_hand(listed))
    if place is None or openml not in (None, place.name):
        place = Place(name)
    _check_writable(data_dir)
    arrays, facts = download(replace(place, **given))
    return _store(name, arrays, facts, data_dir)


def _already_there(listed: Listing, given: Mapping[str, Any]) -> Listing:
    if given:
        raise DataError(
            f"data set {listed.name!r} exists already, {listed.path}; choose another name, or "
            "move the file away to replace it"
        )
    listed.verify(remember=False)
    return listed


def _by_hand(listed: Listing) -> str:
    command = fetch_command(listed.name, listed.manifest.parent)
    return (
        f"data set {listed.name!r}: {listed.path} is not there, and {listed.manifest} has no "
        f"place to fetch it from; {listed.what_to_do()}, or get another version with: "
        f"{command} --openml NAME"
    )


def _check_writable(data_dir: Path) -> None:
    """Raise DataError, before anything is downloaded, if the data directory cannot be written."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(data_dir, error) from None
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise _unwritable(data_dir, PermissionError(errno.EACCES, "permission denied"))


def _unwritable(data_dir: Path, error: OSError) -> DataError:
    return DataError(
        f"{data_dir} cannot be written: {error.strerror}; "
        "choose another data directory with --data DIR or SPARSEBENCH_DATA"
    )


def _store(name: str, arrays: Arrays, facts: Mapping[str, Any], data_dir: Path) -> Listing:
    """Write the file, then list it, replacing an entry of the same name."""
    from filelock import FileLock

    path, manifest = data_dir / f"{name}.npz", data_dir / MANIFEST
    features = [array for key, array in arrays.items() if key.startswith("X")]
    try:
        with replacing(path) as stream:
            save_arrays(stream, arrays)
        entry = {
            "name": name,
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
            "shapes": {key: list(array.shape) for key, array in arrays.items()},
            "dtype": str(features[0].dtype),
            "n": sum(X.shape[0] for X in features),
            "features": features[0].shape[1],
            "classes": len(facts["class_names"]),
            **facts,
        }
        with FileLock(data_dir / f".{MANIFEST}.lock"):
            others = [
                other
                for other in read_entries(manifest)
                if not (isinstance(other, dict) and other.get("name") == name)
            ]
            write_atomically(manifest, json.dumps([*others, entry], indent=1) + "\n")
    except OSError as error:
        raise _unwritable(data_dir, error) from None
    return find(data_dir, name)
