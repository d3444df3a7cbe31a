"""Which claims of a suite cannot get a verdict, because their trials have too few seeds."""

from __future__ import annotations

from sparsebench.metrics import declared_metrics
from sparsebench.run.request import RunRequest
from sparsebench.suite.selectors import matches
from sparsebench.suite.suite import VERDICT_SEEDS


def too_few_seeds(request: RunRequest) -> str:
    """A line on the claims whose trials have too few seeds for a verdict; empty if none has."""
    declared = declared_metrics(request.plugins, request.trials)
    few = []
    for number, claim in enumerate(request.suite.claims):
        sides = [one for one in (claim.where, claim.against) if one is not None]
        seeds = [{t.replicate for t in request.trials if matches(one, t)} for one in sides]
        if 0 < min(map(len, seeds)) < VERDICT_SEEDS and declared[claim.metric].scale != "exact":
            few.append(f"claims[{number}]")
    if not few:
        return ""
    listed = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if few[5:] else "")
    return f"a verdict needs {VERDICT_SEEDS} seeds; with fewer, only compared: {listed}"
