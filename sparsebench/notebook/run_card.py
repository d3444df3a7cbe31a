"""A run as a notebook shows it: the results by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from sparsebench.analysis.evidence import (
    CELL,
    FAILED,
    Evidence,
    evidence,
    groups,
    outcome,
    suite_facts,
)
from sparsebench.analysis.formats import Spread, in_unit, join, plural
from sparsebench.analysis.marks import backend_legend
from sparsebench.core.metric import Metric
from sparsebench.notebook.cards import Card, Row

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

NUMBERS = ("epoch_seconds", "net_peak_bytes", "stored_bytes")


def run_card(stored: StoredRun) -> Card:
    """A row per cell, means ± standard deviations over the seeds; failures stand out."""
    found = evidence([stored])
    metrics = [found.primary, *(found.metrics[name] for name in NUMBERS)]
    varied = bool(found.varied)
    header = [*(["setting"] if varied else []), "topology", "backend",
              *(metric.heading for metric in metrics), "n"]  # fmt: skip
    rows = [
        _row(labels if varied else labels[1:], cell, metrics)
        for labels, cell in (groups(found.frame, CELL) if len(found.frame) else ())
    ]
    title = str(suite_facts(stored).get("title") or stored.manifest.get("title") or "")
    legend = backend_legend(found.frame)
    notes = [*found.notes, *filter(None, [legend])]
    return Card(
        title=f"Run {stored.id}",
        facts=[*filter(None, [title]), statuses(found)],
        header=header, rows=rows, left=3 if varied else 2, notes=notes,
    )  # fmt: skip


def statuses(found: Evidence) -> str:
    """`9 trials: 7 ok, 2 timeout (1 expected)`."""
    frame = found.frame
    counts = Counter(map(str, frame["status"]))
    parts = []
    for status, n in counts.items():
        expected_n = int(((frame["status"] == status) & frame["expected"]).sum())
        expected = f" ({expected_n} expected)" if expected_n and status in FAILED else ""
        parts.append(f"{n} {status}{expected}")
    return f"{plural(len(frame), 'trial')}: {', '.join(parts) or 'none has a record'}"


def _row(labels: tuple[str, ...], cell: pd.DataFrame, metrics: Sequence[Metric]) -> Row:
    ok = cell[cell["ok"]]
    numbers = [in_unit(metric, Spread.of(ok[metric.name])) for metric in metrics]
    n = join(len(ok) or "", outcome(cell))
    failed = cell["status"].isin([*FAILED, "interrupted"]) & ~cell["expected"]
    return Row([*labels, *numbers, n], bad=bool(failed.any()))
