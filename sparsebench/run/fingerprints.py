"""What code the trials of a run began with, and whether that is what they ran."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import CHANGED, fingerprint, forget_sources, sources
from sparsebench.run.kernel_cache import Shares, forget_compiled, kept_shares


class Fingerprints:
    """By trial, as they were when it was last looked at: people edit while trials run."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._begun: dict[str, dict[str, Any]] = {}
        self._shares: dict[str, Shares] = {}

    def of(self, trial: Trial) -> dict[str, Any]:
        """As last taken; empty for a trial that never was."""
        return self._begun.get(trial.id, {})

    def take(self, trial: Trial) -> dict[str, Any]:
        """Of the sources as they were when this run last looked."""
        self._begun[trial.id] = fingerprint(trial, self._plugins)
        self._shares[trial.id] = kept_shares(trial, self._plugins)
        return self._begun[trial.id]

    def take_anew(self, trial: Trial) -> dict[str, Any]:
        """Of the sources as they are now: what is there now, a process will import."""
        forget_sources()
        return self.take(trial)

    def as_run(self, trial: Trial, others: Iterable[Trial]) -> dict[str, Any]:
        """The fingerprint of what a process has run: the one it began with, if that still holds.

        Otherwise it may have imported either, and compiled it under the name of the old, which
        is then forgotten unless `others` that are under way use it.
        """
        begun = self._begun[trial.id]
        forget_sources()
        now = sources(trial, self._plugins)
        if all(now.get(key) == begun.get(key) for key in ("code", "observers")):
            return begun
        in_use = {share for other in others for share in self._shares[other.id].items()}
        unchanged = kept_shares(trial, self._plugins).items()
        forget_compiled(self._shares[trial.id].items() - unchanged - in_use)
        return {**begun, "code": CHANGED}
