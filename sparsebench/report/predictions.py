"""A table of predicted seconds beside measured ones."""

from __future__ import annotations

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import escape, fixed, in_unit, one, table
from sparsebench.analysis.groups import groups
from sparsebench.metrics import BUILT_IN

MEASURED, PREDICTED = "epoch_seconds", "predicted_epoch_seconds"


def predictions_table(evidence: Evidence) -> str:
    """Per backend the medians of both and the relative error; empty if nothing was predicted."""
    rows = []
    for backend, part in groups(evidence.ok, ["backend_label"]):
        both = part[[PREDICTED, MEASURED]].dropna()
        both = both[both[MEASURED] > 0]
        if both.empty:
            continue
        error = (both[PREDICTED] - both[MEASURED]).abs() / both[MEASURED]
        medians = (one(float(both[name].median())) for name in (PREDICTED, MEASURED))
        cells = [in_unit(BUILT_IN[MEASURED], median) for median in medians]
        errors = [f"{fixed(100 * float(e), 1)} %" for e in (error.median(), error.max())]
        rows.append([escape(backend), *cells, *errors, str(len(both))])
    header = ["backend", "predicted", "measured", "median error", "largest error", "n"]
    return table(header, rows, left=1) if rows else ""
