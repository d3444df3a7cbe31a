"""Baselines: the part of a run that a comparison needs, as one small JSON that can be committed.

    {"kind": "sparsebench baseline", "schema": 2, "checksum": ..., "name": ..., "cells": [
      {"cell": id, "label": ..., "words": {...}, "spec": {...}, "trials": [
        {"trial": id, "seed": 0, "status": "ok", "measures": {...}, "machine": id, ...}]}]}

A baseline contains no host name, no path and no log. A cell is all trials that differ only in seed
and fold. Its id is the hash of its spec, so a spec of another version is noticed; the checksum is
the hash of all other content, so an edit is. A baseline is stored in a store under its name, or in
any file.

Schema 1 had no checksum. Such files are still read, with a note, because their runs may be gone.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.analysis.comparison_sides import Side, facts_of, side, side_of
from sparsebench.core.files import jsonable
from sparsebench.core.status import Status
from sparsebench.core.trial import REPLICATED, digest
from sparsebench.errors import StoreError, nearest
from sparsebench.metrics import Metrics, of_run
from sparsebench.store.record import Record, utc_now
from sparsebench.store.safe_files import Damaged, parse, read_object, reading, write_output
from sparsebench.store.schemas import BASELINE, TRIAL
from sparsebench.suite.labels import grid_words, label

if TYPE_CHECKING:
    from sparsebench.store.store import Store, StoredRun

KIND = "sparsebench baseline"
SCHEMA = 2
FOLDER = "baselines"
SAME = ("attempt", "cause", "started", "ended", "contended", "debug")
"""Fields of a record that a baseline stores under the same names."""

SETTINGS = ("memory_method", "exact", "threading_layer", "step")

_NAME = re.compile(r"(?!latest$)[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Baseline:
    """The baseline of a run.

    made     when, in UTC
    records  the run's records, with only what a comparison needs
    missing  ids of trials that the run planned and never ran
    schema   of the file; 1 has no checksum
    """

    name: str
    run: str
    suite: str
    commit: str
    made: str
    records: list[Record]
    missing: frozenset[str]
    metrics: Metrics
    schema: int = SCHEMA

    @property
    def note(self) -> str:
        """A sentence on a baseline whose content cannot be checked; else empty."""
        if self.schema == SCHEMA:
            return ""
        return (
            f"baseline {self.name} has no checksum (schema {self.schema}), so edits of it are not "
            "noticed; make it again: sparsebench baseline set RUN NAME"
        )

    def side(self, file: Path) -> Side:
        """This baseline as one side of a comparison; `file` is where it is stored."""
        run = f"baseline {self.name} of {self.run}"
        facts = facts_of({"suite": self.suite}, self.records, run=run, store=str(file))
        facts["commit"] = self.commit
        notes = (self.note,) if self.note else ()
        return Side(side_of(self.records).cells, self.missing, facts, self.metrics, notes)


def to_json(run: StoredRun, name: str) -> dict[str, Any]:
    """The baseline of a run as JSON data. Infinite and unknown measures are left out, and so are
    the messages of failures, because they may contain paths."""
    cells: dict[str, dict[str, Any]] = {}
    for record in run.records:
        trial = record.trial
        spec = {k: v for k, v in trial.spec().items() if k not in (*REPLICATED, "format")}
        new = {"cell": trial.cell, "label": label(trial, seed=False), "spec": spec,
               "words": grid_words(trial, seed=False), "trials": []}  # fmt: skip
        known = {k: v for k, v in record.measures.items() if v is not None and math.isfinite(v)}
        versions = record.fingerprint.get("versions", {})
        cells.setdefault(trial.cell, new)["trials"].append(
            {
                **{name: getattr(record, name) for name in SAME},
                "trial": trial.id,
                "seed": trial.seed,
                **({"fold": trial.fold} if trial.fold is not None else {}),
                "status": str(record.status),
                "measures": known,
                "machine": str(record.machine.get("id", "")),
                "settings": {key: record.settings.get(key) for key in SETTINGS},
                "noise": [str(mark) for mark in record.noise.get("marks", ())],
                "code": str(record.fingerprint.get("code", "")),
                "versions": {key: str(version) for key, version in versions.items()},
                "data": record.data_fingerprint,
            }
        )
    made = side(run)
    planned = [str(one["id"]) for one in run.manifest.get("trials", ())]
    content = {
        "name": name,
        "run": run.id,
        "suite": made.facts["suite"],
        "commit": made.facts["commit"],
        "made": utc_now(),
        "missing": [trial for trial in planned if trial in made.missing],
        "metrics": [metric.to_json() for metric in made.declared.added()],
        "cells": [*cells.values()],
    }
    data: dict[str, Any] = jsonable({"kind": KIND, "schema": SCHEMA, **content})
    return {**data, "checksum": checksum(data)}


def checksum(data: Mapping[str, Any]) -> str:
    """A hash of a baseline's JSON data, whatever its layout and the order of its keys."""
    return digest({key: value for key, value in data.items() if key != "checksum"}, 16)


def from_json(data: dict[str, Any]) -> Baseline:
    """Read a baseline. Raises StoreError for another schema, ValueError if it is no baseline or its
    content is not that of its checksum."""
    if data.get("kind") != KIND:
        raise ValueError("it is not a baseline; make one with: sparsebench baseline set RUN NAME")
    schema = data.get("schema")
    if schema not in (1, SCHEMA) or isinstance(schema, bool):
        raise StoreError(
            f"baseline of schema {schema!r:.40}; this sparsebench reads 1 and {SCHEMA}: make it "
            "again with `sparsebench baseline set`, or use the version that wrote it"
        )
    written = data
    data = parse(json.dumps(data).encode(), BASELINE)
    if data.get("checksum") != (checksum(written) if schema == SCHEMA else None):
        raise ValueError(
            "its content is not that of its checksum, so it was edited or damaged; make "
            "it again: sparsebench baseline set RUN NAME"
        )
    return Baseline(
        **{key: str(data[key]) for key in ("name", "run", "suite", "commit", "made")},
        records=[_record(data, cell, one) for cell in data["cells"] for one in cell["trials"]],
        missing=frozenset(data["missing"]),
        metrics=of_run(data),
        schema=data["schema"],
    )


def _record(data: Mapping[str, Any], cell: Mapping[str, Any], one: Mapping[str, Any]) -> Record:
    spec = {**cell["spec"], "seed": one["seed"], "suite": data["suite"], "words": cell["words"]}
    if "fold" in one:
        spec["fold"] = one["fold"]
    trial = parse(json.dumps(spec).encode(), TRIAL)
    if trial.cell != cell["cell"] or trial.id != one["trial"]:
        raise ValueError(f"cell {cell['cell']}: its spec has been changed; make the baseline again")
    return Record(
        trial=trial,
        status=Status(one["status"]),
        measures=dict(one["measures"]),
        settings=dict(one["settings"]),
        data_fingerprint=one["data"],
        fingerprint={"code": one["code"], "versions": one["versions"]},
        noise={"marks": one["noise"]},
        machine={"id": one["machine"]},
        **{name: one[name] for name in SAME},
    )


# --- where baselines lie -------------------------------------------------------------


def names(store: Store) -> list[str]:
    """The names of the store's baselines, sorted."""
    try:
        files = os.listdir(store.path / FOLDER)
    except OSError:
        return []
    found = (name.removesuffix(".json") for name in files if name.endswith(".json"))
    return sorted(name for name in found if _NAME.fullmatch(name))


def file_of(store: Store, name: str) -> Path:
    """The file of the baseline of that name, which need not exist."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"baseline {name!r:.80}: expected letters, digits, ._- and not 'latest'")
    return store.path / FOLDER / f"{name}.json"


def keep(run: StoredRun, name: str, file: Path) -> None:
    """Write the baseline of a run, replacing an older one."""
    if not run.records:
        raise StoreError(f"run {run.id} has no record yet: there is nothing to compare with")
    text = json.dumps(to_json(run, name), indent=1, ensure_ascii=False, allow_nan=False)
    write_output(file, text + "\n")


def find(store: Store, name: str) -> Path:
    """The file of a baseline, given the baseline's name or its file. Raises StoreError if there is
    none."""
    known = names(store)
    if name in known:
        return file_of(store, name)
    if Path(name).is_file():
        return Path(name)
    raise StoreError(f"no baseline {name!r} in {store.path}.{nearest(name, known)}")


def read(file: Path) -> Baseline:
    """Read the baseline in a file. Raises a StoreError of one line that names the file and the
    problem."""
    data = read_object(file, "/")
    try:
        with reading(file):
            return from_json(data)
    except Damaged:
        raise
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from None


def side_named(shelf: Store, name: str) -> Side:
    """One side of a comparison. `name` may be `latest` or a run's id, the folder of a run or of a
    store, a baseline's name or file, or the start of a run's id; these are tried in this order.

    shelf  the store in which runs and baselines are looked up
    """
    folder = Path(name)
    if name == "latest" or name in shelf.runs():
        return side(shelf.run(name))
    if (folder / "manifest.json").is_file() or (folder / "store.json").is_file():
        return side(shelf.run(folder))
    if name in names(shelf) or folder.is_file():
        file = find(shelf, name)
        return read(file).side(file)
    if not folder.is_dir() and not any(run.startswith(name) for run in shelf.runs()):
        if os.sep in name:
            raise StoreError(
                f"{name} is not there: expected a run's or store's folder, or a baseline's file"
            )
        known = nearest(name, [*names(shelf), *shelf.runs()[-5:]])
        raise StoreError(f"no run and no baseline {name!r} in {shelf.path}.{known}")
    return side(shelf.run(folder if folder.is_dir() else name))
