"""Where a run's numbers come from: its manifest, its surroundings, its suite."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsebench.core.files import jsonable
from sparsebench.report.markdown import command

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

ELSEWHERE = ("argv", "trials")
"""Of a manifest: the command names no folder of the user, and the trials are in a table."""


@dataclass(frozen=True)
class Provenance:
    """documents  titles, and texts to read as they are"""

    run: str
    documents: list[tuple[str, str]]


def provenance(run: StoredRun) -> Provenance:
    manifest = {key: value for key, value in run.manifest.items() if key not in ELSEWHERE}
    ended = [event for event in run.events() if event.get("event") == "ended"]
    documents = [
        (
            "manifest, with the surroundings at the start",
            _shown({"command": command(run), **manifest}),
        ),
        ("at the end", _shown(ended[-1]) if ended else ""),
        ("suite", run.suite_text),
    ]
    return Provenance(run.id, [(title, text) for title, text in documents if text.strip()])


def _shown(data: dict[str, Any]) -> str:
    return json.dumps(jsonable(data), indent=1, ensure_ascii=False)
