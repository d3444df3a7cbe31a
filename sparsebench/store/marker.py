"""store.json: that a folder is a store, and of which schema."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sparsebench.core.files import write_atomically
from sparsebench.errors import StoreError
from sparsebench.store.names import MARKER
from sparsebench.store.plain import Damaged, read_object

# Store schema history:
#   2  spec.json names its `run`; records of format 2
#   1  first version
STORE_SCHEMA = 2


def read_schema(folder: Path, root: str) -> int | None:
    """None where there is no store yet; StoreError for a store from the future."""
    file = folder / MARKER
    if not folder.is_dir() or not os.path.lexists(file):
        return None
    schema = read_object(file, root).get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise Damaged(f"{file} cannot be read: schema: expected a whole number, found {schema!r}")
    if schema > STORE_SCHEMA:
        raise StoreError(
            f"{folder} has store schema {schema!r}; this sparsebench reads schemas up to "
            f"{STORE_SCHEMA}: install a newer one"
        )
    return schema


def make_or_raise(folder: Path, root: str) -> None:
    """The folder and its marker, of today's schema from now on.

    Another run may be making them, too. An older store is not changed beyond its marker: that
    keeps an older sparsebench, which could not read what is to come, from reading on.
    """
    schema = read_schema(folder, root)
    if schema == STORE_SCHEMA:
        return
    folder.mkdir(parents=True, exist_ok=True)
    names = os.listdir(folder)
    if schema is None and any(not name.startswith(MARKER) for name in names):
        if not (folder / MARKER).exists():
            raise StoreError(f"{folder} is not a store, and not empty: it has no {MARKER}")
        return
    write_atomically(folder / MARKER, json.dumps({"schema": STORE_SCHEMA}))
