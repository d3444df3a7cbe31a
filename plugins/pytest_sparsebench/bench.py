"""The object that the fixture `sparsebench` provides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparsebench.errors import printable
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    from sparsebench.api import Run
    from sparsebench.notebook.views import Compared
    from sparsebench.store.record import Record

NOTHING_RAN = 5


class Bench:
    """Runs and comparisons that fail or skip the test that calls them.

    store  where records are kept unless a call names another store
    """

    def __init__(self, store: Path) -> None:
        self.store = store

    def run(self, suite: str | Path, *, check: bool = True, **options: Any) -> Run:
        """Run a suite as `sparsebench.run` does, by default into this test's store. With `check`,
        the test fails if a trial did not end as the suite expects, and is skipped if no trial could
        run."""
        from sparsebench.api import run

        found = run(suite, **{"store": self.store, **options})
        code = found.summary.exit_code if found.summary is not None else 0
        if check and code == NOTHING_RAN:
            pytest.skip("; ".join(dict.fromkeys(map(how_it_ended, found.records))) or "no trial")
        if check and code:
            bad = [record for record in found.records if str(record.status) != "ok"]
            lines = [f"run {found.id} did not end as its suite expects"]
            lines += [
                f"{printable(label(one.trial))}: {how_it_ended(one)}"
                for one in bad or found.records
            ]
            pytest.fail("\n".join(lines), pytrace=False)
        return found

    def compare(
        self, base: Run | str | Path, head: Run | str | Path, *, check: bool = True, **options: Any
    ) -> Compared:
        """Compare two runs as `sparsebench.compare` does, by default in this test's store. With
        `check`, the test fails if a gate fails or if no gate could be decided."""
        from sparsebench.api import compare

        found = compare(base, head, **{"store": self.store, **options})
        if check and found.exit_code:
            pytest.fail(str(found), pytrace=False)
        return found

    def load(self, run: str | Path, store: str | Path | None = None) -> Run:
        """Load a run to compare with: from its folder, or by its id (or `latest`) from `store`, by
        default this test's."""
        from sparsebench.api import load_run

        return load_run(run, store if store is not None or Path(run).is_dir() else self.store)


def how_it_ended(record: Record) -> str:
    """Status, cause and detail in one line."""
    parts = [str(record.status), record.cause, record.detail]
    return printable(", ".join(filter(None, parts)))
