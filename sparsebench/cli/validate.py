"""`sparsebench validate`: is a suite file right?"""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.asked import ask
from sparsebench.cli.listing import print_json, print_rows
from sparsebench.run.reuse import absent


def command(
    suite: o.SuiteName,
    data: o.Data = None,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Check SUITE: its form, every component, --quick, and that each where matches."""
    asked = ask(suite, data=data, plugin_files=plugin, allow_plugins=allow_plugins)
    quick = ask(suite, quick=True, data=data, plugin_files=plugin, allow_plugins=allow_plugins)
    absences = [absent(trial, asked.plugins) for trial in asked.trials]
    reasons = Counter(": ".join(absence) for absence in absences if absence is not None)
    found: dict[str, Any] = {
        "suite": asked.suite.name,
        "path": str(asked.suite.path),
        "trials": len(asked.trials),
        "quick_trials": len(quick.trials),
        "claims": len(asked.suite.claims),
        "not_runnable_here": dict(reasons),
    }
    if json or format == "json":
        print_json(found)
        return
    if format == "md":
        print_rows([{**found, "not_runnable_here": reasons.total()}], format)
    else:
        counts = f"{len(asked.trials)} trials, {len(quick.trials)} with --quick"
        typer.echo(f"{asked.suite.name}: {counts}")
    for reason, count in reasons.items():
        typer.echo(f"note: {count} trials {reason}", err=True)
