"""Short labels of values, of components by their differing parameters, and of trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from sparsebench.core.trial import REPLICATED, Trial, canonical

FILE = "file"
"""The name of the data set that reads a user's own file."""

WHERE = ("path", "label")
"""The parameters of the data set FILE that are its path and its label."""


METHOD_PARTS = ("drop", "grow", "update", "redistribution", "density_schedule")
"""Parts of a topology method that its data have only if they are not the method's own."""


def brief(value: Any) -> str:
    """A value as a short text: a component as its name and pruning, a list as 1000-1000, a float
    that is a whole number without a decimal point."""
    if isinstance(value, Mapping):
        pruning = value.get("prune")
        return name_of(value) + (f" + {brief(pruning)}" if pruning else "")
    if isinstance(value, list | tuple):
        return "-".join(brief(item) for item in value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # a number is the same whether a suite says 20 or a record 20.0
    return str(value)


def name_of(component: Mapping[str, Any]) -> str:
    """The name of a component. For a user's own file, its `label`, or the file's name without
    folder and ending."""
    path = component.get("path")
    if component.get("name") == FILE and path:
        return str(component.get("label") or PurePath(str(path).removesuffix(".gz")).stem)
    return str(component.get("name", "?"))


def distinct_label(component: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """A label that distinguishes a component from `others`: its name, its pruning after ` + `, the
    parts that another component leaves to its method, and its values of the parameters in which
    components of that name differ: `set + importance (drop=magnitude, zeta=0.3)`; a parameter that
    is None is left out. Files of the same name are distinguished by the ends of their paths; no
    label has an absolute path."""
    name = name_of(component)
    same = [other for other in others if name_of(other) == name]
    own, alike = flat(component), [flat(other) for other in same]
    stated = [key for key in METHOD_PARTS if key in component]
    varied = dict.fromkeys(
        key for key in stated if any(key not in one for one in others if name_of(one) != name)
    )
    varied |= {k: None for k in dict.fromkeys(k for o in alike for k in o) if varies(k, alike)}
    skipped = ("prune", *WHERE) if component.get("name") == FILE else ("prune",)
    given = {k: own[k] for k in varied if own.get(k) is not None and k not in skipped}
    values = [f"{k}={brief(value)}" for k, value in given.items()]
    if component.get("name") == FILE and "path" in varied:
        values.insert(0, shortest_end(str(own["path"]), [str(one.get("path")) for one in alike]))
    pruning = f" + {own['prune']}" if own.get("prune") else ""
    return f"{name}{pruning}" + (f" ({', '.join(values)})" if values else "")


def shortest_end(path: str, others: Sequence[str]) -> str:
    """The shortest end of a path with which none of the other paths ends. If they all end with it,
    the path without its root."""
    parts = PurePath(path).parts
    for count in range(1, len(parts)):
        end = parts[-count:]
        if not any(other != path and PurePath(other).parts[-count:] == end for other in others):
            return "/".join(end)
    return "/".join(parts[1:] or parts)


def distinct_labels(components: Sequence[Mapping[str, Any]]) -> list[str]:
    """A label for each component: its name, and the parameters that distinguish it from components
    of the same name."""
    distinct = list({repr(one): one for one in components}.values())
    names = Counter(map(name_of, distinct))
    known = {
        repr(one): distinct_label(one, distinct) if names[name_of(one)] > 1 else name_of(one)
        for one in distinct
    }
    return [known[repr(one)] for one in components]


def datasets_of(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The data set of each trial. If the same content is at several paths, the first one is used
    for all."""
    seen: dict[str, dict[str, Any]] = {}
    return [
        seen.setdefault(canonical([trial.spec()["dataset"], trial.data]), trial.dataset)
        for trial in trials
    ]


def axis_words(values: Sequence[Any]) -> list[str]:
    """The values of a grid axis as short texts that distinguish them. If one of the values is a
    table of a component, texts are read as names of components."""
    if any(isinstance(value, Mapping) for value in values):
        values = [{"name": value} if isinstance(value, str) else value for value in values]
    components = [value for value in values if isinstance(value, Mapping)]
    return [
        distinct_label(value, components) if isinstance(value, Mapping) else brief(value)
        for value in values
    ]


def flat(component: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The parameters of a component by dotted key. A nested component's own key has its name; its
    parameters are below that key."""
    found: dict[str, Any] = {}
    for key, value in component.items():
        if isinstance(value, Mapping):
            found[path + key] = value.get("name", "")
            below = {k: v for k, v in value.items() if k != "name"}
            found.update(flat(below, f"{path}{key}."))
        else:
            found[path + key] = value
    return found


def varies(key: str, among: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these components differ in the key. A key of a nested component is compared only
    among components that have it, because the others differ in the nested component itself."""
    values = [brief(one.get(key)) for one in among if key in one or "." not in key]
    return any(value != values[0] for value in values)


def label(trial: Trial, *, seed: bool = True) -> str:
    """A one-line label of a trial: its grid values, or backend and topology if there is no grid.

    seed  whether the seed and the fold are part of it
    """
    words = _label_words(trial, seed=seed)
    return " ".join(f"{key.rpartition('.')[2]}={word}" for key, word in words.items())


def label_columns(trials: Sequence[Trial], *, seed: bool = True) -> list[dict[str, str]]:
    """The labels of trials as rows of a table, with a column per axis of the grid. If the trials
    have different axes, the only column is `what`, the whole label.

    seed  whether seed and fold have columns
    """
    rows = [_label_words(trial, seed=seed) for trial in trials]
    if len({tuple(row) for row in rows}) > 1:
        return [{"what": label(trial, seed=seed)} for trial in trials]
    short = {key: key.rpartition(".")[2] for row in rows[:1] for key in row}
    if len(set(short.values())) < len(short):
        short = {key: key for key in short}
    return [{short[key]: word for key, word in row.items()} for row in rows]


def _label_words(trial: Trial, *, seed: bool) -> dict[str, str]:
    words = grid_words(trial, seed=seed)
    parts = ("backend", "topology", "seed") if seed else ("backend", "topology")
    return words or {key: brief(getattr(trial, key)) for key in parts}


def grid_words(trial: Trial, *, seed: bool = True) -> dict[str, str]:
    """The trial's grid values by axis, as short texts; empty if there is no grid.

    seed  whether the seed and the fold are included
    """
    words = trial.words or {key: brief(value) for key, value in trial.axes.items()}
    return {key: word for key, word in words.items() if seed or key not in REPLICATED}
