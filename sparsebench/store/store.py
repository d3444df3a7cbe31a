"""All outcomes, as plain files: a folder per attempt, a folder per run.

    store.json                               {"schema": 2}
    runs/<run>/manifest.json suite.toml events.jsonl
    trials/<aa>/<trial>/<attempt>/spec.json outcome.json epochs.jsonl mem.csv stdout.log stderr.log

An outcome.json is there whole or not at all, and its being there means that the attempt has
ended. Reading needs no permission to write. Names and contents are checked before they are used:
a store may come from anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sparsebench.core.files import jsonable, write_atomically
from sparsebench.errors import StoreError
from sparsebench.store.attempts import Attempt
from sparsebench.store.marker import STORE_SCHEMA
from sparsebench.store.names import is_run
from sparsebench.store.runs import RunJournal, StoredRun, planned
from sparsebench.store.trials import NEEDED_ONCE, TrialStore, names_in

__all__ = ["NEEDED_ONCE", "STORE_SCHEMA", "Attempt", "RunJournal", "Store", "StoredRun",
           "open_run_folder", "planned"]  # fmt: skip

STAMP = "%Y%m%dT%H%M%S.%fZ"


class Store(TrialStore):
    """Trials, and the runs that asked for them."""

    def runs(self) -> list[str]:
        """Ids of the runs, the oldest first."""
        folder = self.path / "runs"
        return [run for run in names_in(folder) if is_run(run) and _is_there(folder / run)]

    def run(self, name: str | Path) -> StoredRun:
        """A run by its id, the start of one, `latest`, or its folder."""
        if isinstance(name, Path) or os.sep in name:
            return open_run_folder(Path(name))
        known = self.runs()
        if name == "latest" and known:
            return StoredRun(self, known[-1])
        matching = [name] if name in known else [run for run in known if run.startswith(name)]
        if len(matching) == 1:
            return StoredRun(self, matching[0])
        if matching:
            raise StoreError(f"run {name!r} is not one run: {', '.join(matching)}")
        listed = ", ".join(known[-5:]) or "none"
        raise StoreError(f"no run {name!r} in {self.path}. The latest: {listed}")

    def open_run(self, name: str, manifest: Mapping[str, Any], suite_text: str = "") -> RunJournal:
        """A new run of the suite `name`."""
        with self.locked(), self._writing():
            run_id = f"{_stamp(self.runs())}-{name}-{secrets.token_hex(3)}"
            folder = self.path / "runs" / run_id
            folder.mkdir(parents=True)
            write_atomically(folder / "suite.toml", suite_text)
            told = jsonable({"run": run_id, "schema": STORE_SCHEMA, "suite": name, **manifest})
            write_atomically(folder / "manifest.json", json.dumps(told, indent=1))
        return RunJournal(self, run_id)


def open_run_folder(folder: Path) -> StoredRun:
    """A run by its folder `<store>/runs/<id>`, or by the store's (its latest run)."""
    folder = folder.resolve()
    if (folder / "manifest.json").is_file():
        return StoredRun(Store(folder.parent.parent), folder.name)
    if (folder / "store.json").is_file():
        return Store(folder).run("latest")
    raise StoreError(f"{folder} is neither a run nor a store")


def _is_there(run: Path) -> bool:
    return os.path.lexists(run / "manifest.json")


def _stamp(runs: Sequence[str]) -> str:
    """UTC to the microsecond, so that the order of ids is that of time; a moment after the last
    of `runs` where the clock has been set back since."""
    now = datetime.now(UTC)
    if runs:
        with contextlib.suppress(ValueError):
            last = datetime.strptime(runs[-1].partition("-")[0], STAMP).replace(tzinfo=UTC)
            now = max(now, last + timedelta(microseconds=1))
    return now.strftime(STAMP)
