"""How many processes and cores a trial needs. Light."""

from __future__ import annotations

from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins


def processes(trial: Trial, plugins: Plugins) -> int:
    """How many the trainer's parameters ask for; 1 where they say nothing."""
    return team_of(trial, plugins)["processes"]


def team_of(trial: Trial, plugins: Plugins) -> dict[str, int]:
    """processes  that are to be started together for the trial
    forks      that its trainer starts by itself; it waits while they work
    """
    trainer = plugins.parameters("trainer", trial.trainer)
    asked = {name: getattr(trainer, name, None) for name in ("processes", "forks")}
    counts = {name: int(ask()) if callable(ask) else 0 for name, ask in asked.items()}
    return {**counts, "processes": max(1, counts["processes"])}


def cores_wanted(trial: Trial, plugins: Plugins) -> int:
    """A thread of a process each."""
    return trial.threads * max(team_of(trial, plugins).values())
