"""Networks told apart in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsebench.core.trial import Trial, digest
from sparsebench.suite.labels import brief, told_apart, varies

APART = ("model", "topology", "optimizer", "backend")
"""Parts of a trial that a name tells only where they differ."""


def network_of(trial: Trial) -> dict[str, Any]:
    """What decides a trial but for who trains it, and the seed."""
    return {key: v for key, v in trial.spec().items() if key not in ("seed", "trainer")}


def named(trials: Sequence[Trial]) -> dict[str, str]:
    """Of the networks: data set and hidden layers, and whatever else tells them apart."""
    networks = {digest(network_of(trial), 8): trial for trial in trials}
    words: dict[str, list[str]] = {}
    for key, trial in networks.items():
        words[key] = [brief(trial.dataset), brief(trial.model.get("hidden", trial.model))]
    for part in APART:
        each = [getattr(trial, part) for trial in networks.values()]
        if len({repr(one) for one in each}) > 1:
            for key, trial in networks.items():
                words[key].append(told_apart(getattr(trial, part), each))
    plain = [{"batch_size": t.batch_size, "threads": t.threads} for t in networks.values()]
    for name in ("batch_size", "threads"):
        if varies(name, plain):
            for (key, _), values in zip(networks.items(), plain, strict=True):
                words[key].append(f"{name}={values[name]}")
    return {key: " ".join(parts) for key, parts in words.items()}
