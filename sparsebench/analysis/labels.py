"""Short labels that tell the cells of a report apart: a name, and only what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsebench.core.trial import Trial, canonical
from sparsebench.suite.labels import brief, flat, varies

OWN_COLUMN = ("topology", "backend", "seed", "data", "format")
"""Parts of a spec that a report has a column for, or that follow from another part."""


def settings(trials: Sequence[Trial]) -> tuple[list[str], list[str]]:
    """The keys, other than topology, backend and seed, in which the trials differ, and each
    trial's values of them in words.

    A single key is named by the first list and not repeated in the values.
    """
    places: dict[str, dict[str, Any]] = {}
    specs = [_spec(trial, places) for trial in trials]
    keys = [k for k in dict.fromkeys(k for s in specs for k in s) if varies(k, specs)]
    bare = [key.removesuffix(".name").rpartition(".")[2] for key in keys]
    if len(keys) == 1:
        return bare, [brief(spec.get(keys[0], "")) for spec in specs]
    return bare, [
        ", ".join(
            brief(spec[key]) if key.endswith(".name") else f"{name}={brief(spec[key])}"
            for key, name in zip(keys, bare)
            if spec.get(key) is not None
        )
        for spec in specs
    ]


def _spec(trial: Trial, places: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """places  a data set's content -> its parameters where it was seen first: a path is a name
    for people, and one content has one name"""
    spec = {key: value for key, value in trial.spec().items() if key not in OWN_COLUMN}
    content = canonical([spec["dataset"], trial.data])
    spec["dataset"] = places.setdefault(content, trial.dataset)
    parts = {k: v for k, v in spec.items() if isinstance(v, Mapping)}
    plain = {k: v for k, v in spec.items() if k not in parts}
    named = {f"{part}.{key}": v for part, c in parts.items() for key, v in flat(c).items()}
    return {**named, **plain}
