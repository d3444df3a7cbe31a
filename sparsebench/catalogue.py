"""The data directory: what data.json lists, what of it is there, and how more is fetched.

data.json is a list of tables. Required keys: name, file (relative to the directory), sha256,
shapes (array name -> shape, at least of the feature arrays). Others are facts for people, but
for `openml`, which says where `fetch` gets the set. No numpy here: listings are light.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Literal

from sparsebench.errors import DataError, MissingData, nearest
from sparsebench.machine import cache_directory

if TYPE_CHECKING:
    import numpy.typing as npt

MANIFEST = "data.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
State = Literal["verified", "present", "missing", "corrupt", "unusable"]


# --- the manifest --------------------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """An entry of a manifest. `problem` says why it is unusable; other fields may be empty then."""

    name: str
    manifest: Path
    file: str = ""
    sha256: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def path(self) -> Path:
        return self.manifest.parent / self.file

    def require(self) -> Path:
        """The path of its file, which is there. Checks no checksum."""
        if self.problem is not None:
            raise DataError(self.problem)
        if not self.path.is_file():
            raise MissingData(
                f"data set {self.name!r}: {self.path} is not there",
                f"sparsebench data fetch {self.name}",
            )
        return self.path

    def verify(self, *, remember: bool = True) -> Path:
        """The path of its file, whose checksum is right. `remember=False` hashes it again."""
        path = self.require()
        found = file_sha256(path, remember=remember)
        if found != self.sha256:
            raise DataError(
                f"{path}: sha256 is {found}, {self.manifest} expects {self.sha256}: the file is "
                f"damaged or another version; remove it, then: sparsebench data fetch {self.name}"
            )
        return path


def read_manifest(data_dir: Path) -> list[Listing]:
    """The entries of data.json, unusable ones with their problem; none without the file.

    A name listed twice is unusable. Raises DataError where data.json is no JSON list at all.
    """
    manifest = data_dir / MANIFEST
    listings = [_listing(entry, i, manifest) for i, entry in enumerate(_entries(manifest), 1)]
    first: dict[str, Listing] = {}
    for i, listing in enumerate(listings, 1):
        if listing.name in first:
            problem = f"{manifest}: entry {i}: name {listing.name!r} is listed twice; rename one"
            first[listing.name] = Listing(listing.name, manifest, problem=problem)
        else:
            first[listing.name] = listing
    return list(first.values())


def find(data_dir: Path, name: str) -> Listing:
    listings = {listing.name: listing for listing in read_manifest(data_dir)}
    if name not in listings:
        raise DataError(
            f"{data_dir / MANIFEST}: unknown data set {name!r}.{nearest(name, listings)}"
        )
    return listings[name]


def _entries(manifest: Path) -> list[Any]:
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{manifest} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{manifest} is no JSON: {error}; repair or remove it") from None
    if not isinstance(entries, list):
        raise DataError(
            f"{manifest}: expected a list of entries, found {type(entries).__name__}; repair it"
        )
    return entries


def _listing(entry: object, number: int, manifest: Path) -> Listing:
    """The entry checked: one without a usable name is called "entry N"."""
    name, where = f"entry {number}", f"{manifest}: entry {number}"
    if not isinstance(entry, dict):
        found = f"expected a table, found {_shown(entry)}"
        return Listing(name, manifest, problem=f"{where}: {found}")
    given = entry.get("name")
    if isinstance(given, str) and NAME.fullmatch(given):
        name, where = given, f"{where} ({given})"
    for key, (expected, usable) in _REQUIRED.items():
        if key not in entry:
            problem = f"{where}: key {key!r} is missing; expected {expected}"
            return Listing(name, manifest, problem=problem)
        if not usable(entry[key]):
            problem = f"{where}: key {key!r}: expected {expected}, found {_shown(entry[key])}"
            return Listing(name, manifest, problem=problem)
    shapes = {array: tuple(shape) for array, shape in entry["shapes"].items()}
    facts = {key: value for key, value in entry.items() if key not in _REQUIRED}
    return Listing(name, manifest, entry["file"], entry["sha256"].lower(), shapes, facts)


def _is_inside(value: object) -> bool:
    """A relative path that stays in its directory. Links in the directory are its owner's."""
    if not isinstance(value, str) or not value or "\0" in value or "\\" in value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts and path != PurePosixPath(".")


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


_REQUIRED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": (
        "letters, digits, '.', '_', '-'",
        lambda value: isinstance(value, str) and NAME.fullmatch(value),
    ),
    "file": ("a path inside the data directory", _is_inside),
    "sha256": (
        "64 hexadecimal digits",
        lambda value: isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{64}", value),
    ),
    "shapes": (
        "a table of array name = [samples, features]",
        lambda value: isinstance(value, dict) and value and all(map(_is_shape, value.values())),
    ),
}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# --- checksums -----------------------------------------------------------------------


def file_sha256(path: Path, *, remember: bool = True) -> str:
    """sha256 of a file, hashed once per path, size and modification time.

    Remembered in the user's cache; a cache that cannot be read or written costs time only.
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
            write_atomically(_memory_file(), json.dumps(memory, indent=1).encode())
    return digest


def _remembered(listing: Listing) -> bool:
    known = _memory().get(str(listing.path.resolve()))
    return known == {"mark": _mark(listing.path), "sha256": listing.sha256}


def _mark(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return [found.st_size, found.st_mtime_ns]


def _memory_file() -> Path:
    return cache_directory() / "verified.json"


def _memory() -> dict[str, Any]:
    try:
        memory = json.loads(_memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}


# --- list and verify -----------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """What is known of an entry's file; `detail` says why it is not usable."""

    listing: Listing
    state: State
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        facts = self.listing.facts
        return {
            "name": self.listing.name,
            "state": self.state,
            "path": str(self.listing.path) if self.listing.file else None,
            "samples": facts.get("n"),
            "features": facts.get("features"),
            "classes": facts.get("classes"),
            "licence": facts.get("licence"),
            "detail": self.detail,
        }


def states(data_dir: Path) -> list[Checked]:
    """Every entry, without hashing: "verified" is what an earlier check remembered."""
    return [_state(listing) for listing in read_manifest(data_dir)]


def verify(data_dir: Path, names: Sequence[str] = ()) -> list[Checked]:
    """Every entry (or those named), with its file hashed now."""
    chosen = [find(data_dir, name) for name in names] if names else read_manifest(data_dir)
    return [_state(listing, check=True) for listing in chosen]


def _state(listing: Listing, *, check: bool = False) -> Checked:
    if listing.problem is not None:
        return Checked(listing, "unusable", listing.problem)
    try:
        listing.require()
        if check:
            listing.verify(remember=False)
    except MissingData as error:
        return Checked(listing, "missing", str(error))
    except DataError as error:
        return Checked(listing, "corrupt", str(error))
    return Checked(listing, "verified" if check or _remembered(listing) else "present")


# --- fetch ---------------------------------------------------------------------------


def fetch(
    name: str,
    *,
    openml: str | None = None,
    version: int | None = None,
    target: str | None = None,
    data_dir: Path,
) -> Listing:
    """Get a data set from OpenML into the data directory and list it in data.json.

    What is listed and there is left as it is, once its checksum is right. `openml` is the name
    there, by default what the entry says, else `name`; `version` by default the active one;
    `target` the label column, by default OpenML's.
    """
    if not NAME.fullmatch(name):
        raise DataError(f"{name!r} is no name for a data set; expected {_REQUIRED['name'][0]}")
    listed = {listing.name: listing for listing in read_manifest(data_dir)}.get(name)
    if listed is not None:
        if listed.problem is not None:
            raise DataError(listed.problem)
        if listed.path.is_file():
            return _already_there(listed, openml)
        known = listed.facts.get("openml")
        if openml is None and not isinstance(known, dict):
            raise DataError(_by_hand(listed))
        if openml is None and isinstance(known, dict):
            openml, version, target = (known.get(key) for key in ("name", "version", "target"))
    _check_writable(data_dir)
    source = {"name": openml or name, "version": version, "target": target}
    arrays, facts = _from_openml(source)
    return _store(name, arrays, facts, data_dir)


def _already_there(listed: Listing, openml: str | None) -> Listing:
    if openml is not None:
        raise DataError(
            f"data set {listed.name!r} is there already, {listed.path}; choose another name, or "
            f"remove the file to replace it"
        )
    listed.verify(remember=False)
    return listed


def _by_hand(listed: Listing) -> str:
    facts = listed.facts
    origin = " ".join(str(facts[k]) for k in ("source_repo", "source_path") if facts.get(k))
    return (
        f"data set {listed.name!r} is listed in {listed.manifest} without a place to fetch it "
        f"from{f' (it was made from {origin})' if origin else ''}; put it at {listed.path}, or "
        f"get another version with: sparsebench data fetch {listed.name} --openml NAME"
    )


def _check_writable(data_dir: Path) -> None:
    """Before anything is downloaded."""
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


def _from_openml(source: Mapping[str, Any]) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays X (float32) and y (0..classes - 1), and what the entry says of them."""
    import warnings
    from http.client import HTTPException

    from sklearn.datasets import fetch_openml

    name, version, target = source["name"], source["version"], source["target"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = fetch_openml(
                name=name,
                version="active" if version is None else version,
                target_column="default-target" if target is None else target,
                as_frame=False,
                cache=False,
                parser="auto",
                n_retries=1,
            )
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"OpenML cannot be reached for {name!r}: {reason}; try again later, or put a file of "
            "your own in a suite with dataset = { name = 'file', path = 'my.npz' }"
        ) from None
    except (ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"OpenML has no usable data set {name!r}: {reason}; "
            "look for its name and version on https://www.openml.org"
        ) from None
    arrays, class_names = _as_arrays(found.data, found.target, f"OpenML {name!r}")
    details = found.details
    version = int(details.get("version", 0)) or version
    return arrays, {
        "class_names": class_names,
        "source": f"OpenML {details.get('id', '?')}: {name}, version {version}",
        "licence": details.get("licence"),
        "openml": {"name": name, "version": version, "target": target},
    }


def _as_arrays(X: Any, y: Any, where: str) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    import numpy as np

    if y is None or np.ndim(y) != 1:
        raise DataError(f"{where} has no single label column; name one with --target COLUMN")
    try:
        X = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)
    except (ValueError, TypeError):
        raise DataError(f"{where} has features that are no numbers; encode them first") from None
    if not np.isfinite(X).all():
        raise DataError(f"{where} has missing values; fill them in first")
    labels = np.asarray(y)
    known, codes = np.unique(
        labels.astype(str) if labels.dtype == object else labels, return_inverse=True
    )
    return {"X": X, "y": codes.astype(np.int64)}, [str(label) for label in known]


def _store(
    name: str, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any], data_dir: Path
) -> Listing:
    import numpy as np
    from filelock import FileLock

    X, path, manifest = arrays["X"], data_dir / f"{name}.npz", data_dir / MANIFEST
    try:
        with replacing(path) as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        entry = {
            "name": name,
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
            "shapes": {key: list(array.shape) for key, array in arrays.items()},
            "dtype": str(X.dtype),
            "n": X.shape[0],
            "features": X.shape[1],
            "classes": len(facts["class_names"]),
            **facts,
        }
        with FileLock(data_dir / f".{MANIFEST}.lock"):
            others = [
                other
                for other in _entries(manifest)
                if not (isinstance(other, dict) and other.get("name") == name)
            ]
            write_atomically(manifest, json.dumps([*others, entry], indent=1).encode() + b"\n")
    except OSError as error:
        raise _unwritable(data_dir, error) from None
    return find(data_dir, name)


def write_atomically(path: Path, content: bytes) -> None:
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is written; nothing is left of a failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
