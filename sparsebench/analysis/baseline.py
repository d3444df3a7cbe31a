"""A baseline: what a comparison needs of a run, as one small JSON that can be committed.

    {"kind": "sparsebench baseline", "schema": 1, "name": ..., "run": ..., "cells": [
      {"cell": id, "label": ..., "words": {...}, "spec": {...}, "trials": [
        {"trial": id, "seed": 0, "status": "ok", "measures": {...}, "machine": id, ...}]}]}

It has no host, no path of the machine and no log. A cell's id is the hash of its spec: a spec that
was edited, or is of another version, is noticed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.analysis.sides import Side, side_of
from sparsebench.core.status import Status
from sparsebench.errors import StoreError
from sparsebench.metrics import Metrics, of_run
from sparsebench.store.cells import grid_words
from sparsebench.store.json_files import parse
from sparsebench.store.models import BASELINE, TRIAL
from sparsebench.store.record import Record, utc_now
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

KIND = "sparsebench baseline"
SCHEMA = 1
TOLD = ("name", "run", "suite", "commit", "made")
SETTINGS = ("memory_method", "exact", "threading_layer")


@dataclass(frozen=True)
class Baseline:
    """missing  ids of trials that the run planned and never ran"""

    name: str
    run: str
    suite: str
    commit: str
    made: str
    records: list[Record]
    missing: frozenset[str] = frozenset()
    metrics: Metrics = field(default_factory=Metrics)

    def side(self, file: Path) -> Side:
        """As one side of a comparison; `file` is where it lies."""
        facts = {
            "run": f"baseline {self.name} of {self.run}",
            "store": str(file),
            "suite": self.suite,
            "machines": sorted({str(r.machine["id"]) for r in self.records if r.machine["id"]}),
            "commit": self.commit,
        }
        return Side(side_of(self.records).cells, self.missing, facts, self.metrics)


def to_json(run: StoredRun, name: str) -> dict[str, Any]:
    """The baseline of a run, under a name."""
    git = run.manifest.get("git") or {}
    cells: dict[str, list[Record]] = {}
    for record in run.records:
        cells.setdefault(record.trial.cell, []).append(record)
    done = {record.trial.id for record in run.records}
    planned = [str(one["id"]) for one in run.manifest.get("trials", ())]
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "name": name,
        "run": run.id,
        "suite": str(run.manifest.get("suite", "")),
        "commit": str(git.get("commit", "")) + ("+" if git.get("dirty") else ""),
        "made": utc_now(),
        "missing": [trial for trial in planned if trial not in done],
        "metrics": [metric.to_json() for metric in of_run(run.manifest).added()],
        "cells": [_cell(cell, records) for cell, records in cells.items()],
    }


def from_json(data: dict[str, Any]) -> Baseline:
    """StoreError for another schema; ValueError and its like for what is no baseline."""
    if data.get("kind") != KIND:
        raise ValueError("it is no baseline; make one with: sparsebench baseline set RUN NAME")
    if data.get("schema") != SCHEMA or isinstance(data.get("schema"), bool):
        raise StoreError(
            f"baseline of schema {data.get('schema')!r:.40}; this sparsebench reads {SCHEMA}: make "
            "it again with `sparsebench baseline set`, or use the version that wrote it"
        )
    data = parse(json.dumps(dict(data)).encode(), BASELINE)
    records = [_record(data, cell, one) for cell in data["cells"] for one in cell["trials"]]
    told = {key: str(data[key]) for key in TOLD}
    missing, metrics = frozenset(data["missing"]), of_run(data)
    return Baseline(records=records, missing=missing, metrics=metrics, **told)


def _cell(cell: str, records: list[Record]) -> dict[str, Any]:
    trial = records[0].trial
    return {
        "cell": cell,
        "label": label(trial, seed=False),
        "words": grid_words(trial),
        "spec": {k: v for k, v in trial.spec().items() if k not in ("seed", "format")},
        "trials": [_one(record) for record in records],
    }


def _one(record: Record) -> dict[str, Any]:
    """Infinite and unknown measures are left out; so is a failure's text, which can name files."""
    return {
        "trial": record.trial.id,
        "seed": record.trial.seed,
        "status": str(record.status),
        "cause": record.cause,
        "measures": {
            k: v for k, v in record.measures.items() if v is not None and math.isfinite(v)
        },
        "machine": str(record.machine.get("id", "")),
        "settings": {key: record.settings.get(key) for key in SETTINGS},
        "contended": record.contended,
        "debug": record.debug,
        "noise": [str(mark) for mark in record.noise.get("marks", ())],
        "code": str(record.fingerprint.get("code", "")),
        "versions": {k: str(v) for k, v in record.fingerprint.get("versions", {}).items()},
        "data": record.data_fingerprint,
        "attempt": record.attempt,
        "started": record.started,
        "ended": record.ended,
    }


def _record(data: Mapping[str, Any], cell: Mapping[str, Any], one: Mapping[str, Any]) -> Record:
    labels = {"suite": data["suite"], "words": cell["words"]}
    trial = parse(json.dumps({**cell["spec"], "seed": one["seed"], **labels}).encode(), TRIAL)
    if trial.cell != cell["cell"] or trial.id != one["trial"]:
        raise ValueError(f"cell {cell['cell']}: its spec has been changed; make the baseline again")
    return Record(
        trial=trial,
        attempt=one["attempt"],
        status=Status(one["status"]),
        cause=one["cause"],
        measures=dict(one["measures"]),
        data_fingerprint=one["data"],
        fingerprint={"code": one["code"], "versions": one["versions"]},
        settings=dict(one["settings"]),
        noise={"marks": one["noise"]},
        machine={"id": one["machine"]},
        started=one["started"],
        ended=one["ended"],
        contended=one["contended"],
        debug=one["debug"],
    )
