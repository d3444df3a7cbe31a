"""Where baselines lie: by name in a store, or in a file of one's own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sparsebench.analysis.baseline import Baseline, from_json, to_json
from sparsebench.core.files import jsonable, write_atomically, writing_to
from sparsebench.errors import StoreError, nearest
from sparsebench.store.json_files import Damaged, read_object, reading

if TYPE_CHECKING:
    from sparsebench.store.store import Store, StoredRun

FOLDER = "baselines"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAKEN = ("latest",)


def names(store: Store) -> list[str]:
    """Of the store's baselines, sorted."""
    try:
        files = os.listdir(store.path / FOLDER)
    except OSError:
        return []
    found = (name.removesuffix(".json") for name in files if name.endswith(".json"))
    return sorted(name for name in found if _is_name(name))


def file_of(store: Store, name: str) -> Path:
    """Where the baseline of that name is, or would be."""
    if not _is_name(name):
        raise StoreError(
            f"baseline {name!r:.80}: expected letters, digits and ._- and not {_TAKEN[0]!r}"
        )
    return store.path / FOLDER / f"{name}.json"


def keep(run: StoredRun, name: str, file: Path) -> None:
    """Write the baseline of a run, in the place of an older one."""
    if not run.records:
        raise StoreError(f"run {run.id} has no record yet: there is nothing to compare with")
    text = json.dumps(jsonable(to_json(run, name)), indent=1, ensure_ascii=False, allow_nan=False)
    with writing_to(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text + "\n")


def find(store: Store, name: str) -> Path:
    """The file of a baseline by its name, or a file given as such; StoreError otherwise."""
    if _is_name(name) and name in names(store):
        return file_of(store, name)
    if Path(name).is_file():
        return Path(name)
    known = names(store)
    raise StoreError(f"no baseline {name!r} in {store.path}.{nearest(name, known)}")


def read(file: Path) -> Baseline:
    """One line that names the file, for whatever is wrong with it."""
    data = read_object(file, "/")
    try:
        with reading(file):
            return from_json(data)
    except Damaged:
        raise
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from None


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _TAKEN
