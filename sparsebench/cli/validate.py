"""`sparsebench validate`: checks a suite file."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_json, print_rows
from sparsebench.run.request import resolve
from sparsebench.run.reuse import absent


@o.with_options(o.selection)
def command(options: dict[str, Any], format: o.FormatOption = "text", json: o.Json = False) -> None:
    """Check a suite file.

    Its form, every component, --quick, and that each `where` matches a trial.
    """
    full, quick = resolve(**options), resolve(**options | {"quick": True})
    absences = [absent(trial, full.plugins) for trial in full.trials]
    reasons = Counter(": ".join(absence) for absence in absences if absence is not None)
    found = {
        "suite": full.suite.name,
        "path": str(full.suite.path),
        "trials": len(full.trials),
        "quick_trials": len(quick.trials),
        "claims": len(full.suite.claims),
        "not_runnable_here": dict(reasons),
    }
    if format == "json":
        print_json(found)
        return
    if format == "md":
        print_rows([{**found, "not_runnable_here": reasons.total()}], format)
    else:
        counts = f"{len(full.trials)} trials, {len(quick.trials)} with --quick"
        typer.echo(f"{full.suite.name}: {counts}")
    for reason, count in reasons.items():
        typer.echo(f"note: {count} trials {reason}", err=True)
