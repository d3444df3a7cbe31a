"""`sparsebench validate`: is a suite file right?"""

from __future__ import annotations

import typer

from sparsebench.cli import options as o
from sparsebench.cli.asked import ask, why_not
from sparsebench.cli.listing import print_json


def command(
    suite: o.SuiteName,
    data: o.Data = None,
    plugin: o.PluginFiles = None,
    allow_plugins: o.AllowPlugins = False,
    json: o.Json = False,
) -> None:
    """Check SUITE: its form, every component, --quick, and that each where matches."""
    asked = ask(suite, data=data, plugin_files=plugin, allow_plugins=allow_plugins)
    quick = ask(suite, quick=True, data=data, plugin_files=plugin, allow_plugins=allow_plugins)
    reasons = [why_not(trial, asked.plugins) for trial in asked.trials]
    found = {
        "suite": asked.suite.name,
        "path": str(asked.suite.path),
        "trials": len(asked.trials),
        "quick_trials": len(quick.trials),
        "claims": len(asked.suite.claims),
        "not_runnable_here": {why: reasons.count(why) for why in dict.fromkeys(reasons) if why},
    }
    if json:
        print_json(found)
        return
    typer.echo(f"{asked.suite.name}: {len(asked.trials)} trials, {len(quick.trials)} with --quick")
    for reason in dict.fromkeys(filter(None, reasons)):
        typer.echo(f"note: {reasons.count(reason)} trials {reason}", err=True)
