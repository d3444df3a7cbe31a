"""Short labels that tell the cells of a report apart: a name, and only what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsebench.suite.trial import Trial, brief

OWN_COLUMN = ("topology", "backend", "seed", "data", "format")
"""Parts of a spec that a report has a column for, or that follow from another part."""


def cell_label(component: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """A component in words: its name, ` + ` its pruning, and the parameters in which the
    components of that name among `others` differ: `set + importance (zeta=0.3)`.
    """
    own = flat(component)
    alike = [flat(o) for o in others if o.get("name") == component.get("name")]
    varied = [k for k in dict.fromkeys(k for o in alike for k in o) if _varies(k, alike)]
    values = [f"{k}={brief(own[k])}" for k in varied if k in own and k != "prune"]
    pruning = f" + {own['prune']}" if own.get("prune") else ""
    return f"{own.get('name', '')}{pruning}" + (f" ({', '.join(values)})" if values else "")


def settings(trials: Sequence[Trial]) -> tuple[list[str], list[str]]:
    """The keys, other than topology, backend and seed, in which the trials differ, and each
    trial's values of them in words.

    A single key is named by the first list and not repeated in the values.
    """
    specs = [_spec(trial) for trial in trials]
    keys = [k for k in dict.fromkeys(k for s in specs for k in s) if _varies(k, specs)]
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


def flat(component: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Parameters by dotted key; a nested component is its name, and its parameters below it."""
    found: dict[str, Any] = {}
    for key, value in component.items():
        if isinstance(value, Mapping):
            found[path + key] = value.get("name", "")
            below = {k: v for k, v in value.items() if k != "name"}
            found.update(flat(below, f"{path}{key}."))
        else:
            found[path + key] = value
    return found


def _spec(trial: Trial) -> dict[str, Any]:
    spec = {key: value for key, value in trial.spec().items() if key not in OWN_COLUMN}
    parts = {k: v for k, v in spec.items() if isinstance(v, Mapping)}
    plain = {k: v for k, v in spec.items() if k not in parts}
    named = {f"{part}.{key}": v for part, c in parts.items() for key, v in flat(c).items()}
    return {**named, **plain}


def _varies(key: str, among: Sequence[Mapping[str, Any]]) -> bool:
    """Whether those that have the key differ in it: what only some have lies below a nested
    component, and that differs itself."""
    values = [brief(one[key]) for one in among if key in one]
    return any(value != values[0] for value in values)
