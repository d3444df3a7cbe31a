"""The data directory: the entries of its data.json, and the state of their files.

data.json is a list of tables. Required keys: name, file (relative to the directory), sha256,
shapes (array name -> shape, at least of the feature arrays). `openml` is the `Place` from which
`fetch` downloads the set; all other keys are for human readers. Imports no numpy, so that listing
data sets is fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from sparsebench.core.data.checksums import file_sha256, is_remembered
from sparsebench.core.data.openml import Place, fetch_command, place_of
from sparsebench.errors import DataError, MissingData, nearest

MANIFEST = "data.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NAMES = "letters, digits, '.', '_', '-'"
State = Literal["verified", "present", "missing", "corrupt", "unusable"]


# --- the manifest --------------------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """An entry of data.json. If it is unusable, `problem` says why, and other fields may be empty.

    manifest  the path of data.json
    facts     the keys of the entry that are not required
    """

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

    @property
    def place(self) -> Place | None:
        """The source that `fetch` downloads from; None if the entry names none."""
        return place_of(self.facts.get("openml"))

    @property
    def command(self) -> str:
        """The command that downloads the entry's file; empty if the entry names no source."""
        return fetch_command(self.name, self.manifest.parent) if self.place is not None else ""

    def what_to_do(self) -> str:
        """How to get the entry's file: the command, or else the origin that the entry names."""
        return f"get it with: {self.command}" if self.command else self.where_from()

    def where_from(self) -> str:
        """An instruction to put the file in place, with its origin if the entry names it."""
        said = [str(self.facts[k]) for k in ("source_repo", "source_path") if self.facts.get(k)]
        if said:
            origin = " ".join(" ".join(said).split())
            return f"put the listed {self.file} there (its entry says it is made from {origin})"
        return f"put the listed {self.file} back"

    def require(self) -> Path:
        """The path of the entry's file. Raises MissingData if it is not there, and DataError if the
        entry is unusable. The checksum is not verified."""
        if self.problem is not None:
            raise DataError(self.problem)
        if not self.path.is_file():
            missing = f"data set {self.name!r}: {self.path} is not there"
            if not self.command:
                missing += f"; {self.where_from()}"
            raise MissingData(missing, self.command)
        return self.path

    def verify(self, *, remember: bool = True) -> Path:
        """The path of the entry's file. Raises what `require` does, and DataError if the checksum
        differs. `remember=False` hashes the file even if an earlier check is remembered."""
        path = self.require()
        found = file_sha256(path, remember=remember)
        if found != self.sha256:
            first = "remove it, then " if self.place is not None else ""
            raise DataError(
                f"{path}: sha256 is {found}, {self.manifest} expects {self.sha256}: the file is "
                f"damaged or another version; {first}{self.what_to_do()}"
            )
        return path


def read_manifest(data_dir: Path) -> list[Listing]:
    """The entries of data.json, unusable ones with their problem; an empty list if there is no such
    file.

    A name listed twice is unusable. Raises DataError if data.json is not a readable JSON list.
    """
    manifest = data_dir / MANIFEST
    listings = [_listing(entry, i, manifest) for i, entry in enumerate(read_entries(manifest), 1)]
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


def listing_of(target: object) -> Listing | None:
    """The data.json entry of a registered data set; None if it comes from no data.json."""
    found = getattr(target, "listing", None)
    return found if isinstance(found, Listing) else None


def read_entries(manifest: Path) -> list[Any]:
    """The entries of data.json, unchecked; an empty list if there is no such file. Raises DataError
    if it cannot be read or is not a JSON list."""
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{manifest} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{manifest} is not JSON: {error}; repair or remove it") from None
    if not isinstance(entries, list):
        raise DataError(
            f"{manifest}: expected a list of entries, found {type(entries).__name__}; repair it"
        )
    return entries


def _listing(entry: object, number: int, manifest: Path) -> Listing:
    """Check the entry of this number, from 1. Without a usable name it is called "entry N"."""
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
    """Whether this is a relative path that stays in its directory. Symbolic links in the directory
    are trusted, because its owner made them."""
    if not isinstance(value, str) or not value or "\0" in value or "\\" in value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts and path != PurePosixPath(".")


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


_REQUIRED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": (
        NAMES,
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


# --- states of files -------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """The state of an entry's file; `detail` says why the file cannot be used, and is empty if it
    can."""

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


def states(listings: Iterable[Listing], *, check: bool = False) -> list[Checked]:
    """The state of each entry's file. Without `check` no file is hashed, and "verified" means that
    an earlier check is remembered."""
    return [_state(listing, check) for listing in listings]


def _state(listing: Listing, check: bool) -> Checked:
    if listing.problem is not None:
        return Checked(listing, "unusable", listing.problem)
    try:
        path = listing.require()
        if check:
            listing.verify(remember=False)
    except MissingData as error:
        return Checked(listing, "missing", str(error))
    except DataError as error:
        return Checked(listing, "corrupt", str(error))
    return Checked(
        listing, "verified" if check or is_remembered(path, listing.sha256) else "present"
    )
