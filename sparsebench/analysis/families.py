"""Trials that are equal but for what a question varies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.labels import settings
from sparsebench.core.trial import Trial
from sparsebench.suite.labels import told_apart

SIZE = ("dataset", "model.hidden")
"""What makes a network larger."""

SPARSITY = ("topology.density", "topology.epsilon")
"""What gives it more connections."""


def without(trial: Trial, *keys: str) -> Trial:
    """The trial with seed 0 and nothing at these dotted keys: trials that are equal but for
    them get one id."""
    parts: dict[str, Any] = {"seed": 0}
    for key in keys:
        head, *rest = ("topology.prune" if key == "prune" else key).split(".")
        if head == "dataset":
            parts["data"] = {}
        value = parts.get(head, getattr(trial, head))
        if isinstance(value, Mapping):
            parts[head] = _dropped(value, rest)
        else:
            parts[head] = None if head != "seed" else 0
    return replace(trial, **parts)


def trials_of(evidence: Evidence) -> list[Trial]:
    """The trial of each row of the frame."""
    return [evidence.records[int(str(i))].trial for i in evidence.frame.index]


def setting_labels(evidence: Evidence, *keys: str) -> list[str]:
    """The setting of each row in words, leaving out these keys."""
    words = settings([without(trial, *keys) for trial in trials_of(evidence)])[1]
    apart = evidence.frame["apart"]
    return [", ".join(filter(None, both)) for both in zip(words, apart)]


def topology_labels(evidence: Evidence, *keys: str) -> list[str]:
    """The topology of each row, told apart from the others, leaving out these keys."""
    topologies = [without(trial, *keys).topology for trial in trials_of(evidence)]
    distinct = list({repr(one): one for one in topologies}.values())
    known = {repr(one): told_apart(one, distinct) for one in distinct}
    return [known[repr(one)] for one in topologies]


def families(evidence: Evidence, *keys: str) -> list[str]:
    """An id per row, shared by trials that are equal but for the seed and these keys."""
    return [without(trial, *keys).id for trial in trials_of(evidence)]


def _dropped(value: Mapping[str, Any], path: Iterable[str]) -> dict[str, Any]:
    """A copy without what is at the path; all of it for an empty path."""
    head, *rest = path or ("",)
    if not head:
        return {}
    kept = {k: v for k, v in value.items() if k != head}
    below = value.get(head)
    if rest and isinstance(below, Mapping):
        kept[head] = _dropped(below, rest)
    return kept
