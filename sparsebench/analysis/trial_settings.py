"""The settings of trials: the keys in which they differ, what they have in common, and what each
component has, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sparsebench.analysis.number_format import join, sentence_list
from sparsebench.core.trial import REPLICATED, Trial
from sparsebench.suite.labels import (
    FILE,
    brief,
    datasets_of,
    distinct_labels,
    flat,
    name_of,
    varies,
)

DATA_SIZE = "dataset.size"
"""A key for all parameters of a data set except its name. Sizes of one generated set can be
compared, different data sets cannot."""
OWN_COLUMN = ("topology", "backend", "seed", "fold", "data", "format")
"""Parts of a spec that have a column in a report, or that follow from another part."""


def settings(trials: Sequence[Trial]) -> tuple[list[str], list[str]]:
    """The keys in which the trials differ, except topology, backend and seed; and for each trial
    its values of these keys in words. If there is one key, the words do not repeat its name. A
    parameter that follows from its component's name, as the learning rate of two optimizers that
    have one each, is left out."""
    datasets = datasets_of(trials)
    specs = [_flat_spec(trial, data) for trial, data in zip(trials, _labelled(datasets))]
    keys = [k for k in dict.fromkeys(k for s in specs for k in s) if varies(k, specs)]
    keys = [key for key in keys if not _follows_from_name(key, keys, specs)]
    bare = [key.removesuffix(".name").rpartition(".")[2] for key in keys]
    if len(keys) == 1:
        return bare, [brief(spec.get(keys[0], "")) for spec in specs]
    return bare, [
        join(*(_words(key, name, spec.get(key)) for key, name in zip(keys, bare))) for spec in specs
    ]


def _follows_from_name(key: str, varied: Sequence[str], specs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a parameter differs only between components of different names."""
    part, _, parameter = key.partition(".")
    name = f"{part}.name"
    if not parameter or key == name or name not in varied:
        return False
    values: dict[str, set[str]] = {}
    for spec in specs:
        values.setdefault(str(spec.get(name)), set()).add(brief(spec.get(key)))
    return all(len(found) == 1 for found in values.values())


OFF: tuple[Any, ...] = (None, False, "", [], {})
"""Values of parameters that are off, which tables of settings leave out."""


def common_settings(trials: Sequence[Trial]) -> dict[str, str]:
    """The keys that have the same value in all trials, with that value in words. Seeds, paths of
    data, and keys that are off or have no value are left out."""
    specs = [
        {**_flat_spec(trial, data), **_flat_methods(trial), **_of_file(trial),
         "scaling": trial.scaling}
        for trial, data in zip(trials, _labelled(datasets_of(trials)))
    ]  # fmt: skip
    first = specs[0] if specs else {}
    return {k: brief(v) for k, v in first.items() if v not in OFF and not varies(k, specs)}


def _of_file(trial: Trial) -> dict[str, Any]:
    """How a user's own file is read, by dotted key; empty for other data sets."""
    if trial.dataset.get("name") != FILE:
        return {}
    whole = trial.whole("dataset")
    return {f"dataset.{k}": v for k, v in whole.items() if k not in ("name", *trial.locations)}


def component_settings(trials: Sequence[Trial]) -> dict[str, str]:
    """For each component, if there are several of its kind, the parameters that it has in all of
    its trials and that not all trials have, defaults included: `topology rigl` ->
    `drop=magnitude, grow=gradient, update_every=100`."""
    common, found = common_settings(trials), {}
    for part in ("topology", "optimizer", "trainer", "backend", "objective"):
        by_name: dict[str, list[dict[str, Any]]] = {}
        for trial in trials:
            whole = trial.whole(part)
            by_name.setdefault(str(whole.get("name")), []).append(flat(whole))
        for name, specs in by_name.items() if len(by_name) > 1 else ():
            words = [
                f"{key}={brief(value)}" for key, value in specs[0].items()
                if key != "name" and value not in OFF and f"{part}.{key}" not in common
                and all(brief(one.get(key)) == brief(value) for one in specs)
            ]  # fmt: skip
            if words:
                found[f"{part} {name}"] = join(*words)
    return found


def _words(key: str, name: str, value: Any) -> str:
    """A key and its value in words: `epsilon=20`. A component is shown by its name, a switch by its
    key if it is on and by nothing if it is off."""
    if value is None or value is False:
        return ""
    if value is True:
        return name
    return brief(value) if key.endswith(".name") else f"{name}={brief(value)}"


def keys_fixed_by_dataset(trials: Sequence[Trial]) -> list[str]:
    """The keys in which trials differ but whose value follows from the name of the data set, as in
    a suite's cases; empty if there is only one data set."""
    labelled = _labelled(datasets_of(trials))
    specs = [{**_flat_spec(*pair), **_flat_methods(pair[0])} for pair in zip(trials, labelled)]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for spec in specs:
        by_name.setdefault(str(spec.get("dataset.name")), []).append(spec)
    if len(by_name) < 2:
        return []
    keys = dict.fromkeys(key for spec in specs for key in spec)
    return [
        key for key in keys
        if not key.endswith(".name") and varies(key, specs)
        and not any(varies(key, part) for part in by_name.values())
    ]  # fmt: skip


def _flat_methods(trial: Trial) -> dict[str, Any]:
    parts = {"topology": trial.topology, "backend": trial.backend}
    return {f"{part}.{key}": v for part, c in parts.items() for key, v in flat(c).items()}


def dataset_notes(trials: Sequence[Trial], folded: Sequence[str]) -> Iterator[str]:
    """Yield sentences that name the values of the `folded` keys: one for the data sets that have
    the same values."""
    by_dataset: dict[str, str] = {}
    for trial, dataset in zip(trials, _labelled(datasets_of(trials))):
        spec = {**_flat_spec(trial, dataset), **_flat_methods(trial)}
        words = (_words(key, key.rpartition(".")[2], spec.get(key)) for key in folded)
        by_dataset.setdefault(str(dataset.get("name")), join(*words))
    alike: dict[str, list[str]] = {}
    for name, values in by_dataset.items():
        alike.setdefault(values, []).append(name)
    yield from (f"On {sentence_list(names)}: {said}." for said, names in alike.items() if said)


def _flat_spec(trial: Trial, dataset: Mapping[str, Any]) -> dict[str, Any]:
    spec = {key: value for key, value in trial.spec().items() if key not in OWN_COLUMN}
    spec |= {"dataset": dataset} | ({"folds": trial.folds} if trial.folds else {})
    parts = {k: v for k, v in spec.items() if isinstance(v, Mapping)}
    named = {f"{part}.{key}": v for part, c in parts.items() for key, v in flat(c).items()}
    return {**named, **{k: v for k, v in spec.items() if k not in parts}}


def _labelled(datasets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The data sets as data; files have names that distinguish them instead of paths."""
    names = distinct_labels(datasets)
    return [
        {"name": name} if one.get("name") == FILE else one for one, name in zip(datasets, names)
    ]


def value_at(trial: Trial, key: str) -> object:
    """The value of a part of a trial such as "topology" or "epochs", or of a dotted key such as
    "topology.epsilon", also if it is left out because it has its default; None if the trial has no
    such key."""
    head, _, path = key.partition(".")
    value = getattr(trial, head, None)
    if not path:
        return value
    return flat(trial.whole(head)).get(path) if isinstance(value, dict) else None


def with_keys_removed(trial: Trial, *keys: str) -> Trial:
    """The trial with seed 0, the first fold, and without these dotted keys, so that trials that
    differ only in these get the same id."""
    parts: dict[str, Any] = {"seed": 0, "fold": f"1/{trial.folds}" if trial.folds else None}
    for key in keys:
        head, *rest = key.split(".")
        if head == "prune":
            head, rest = "topology", ["prune", *rest]
        if head == "dataset":
            parts["data"] = {}
        if key == DATA_SIZE:
            parts["dataset"] = {"name": name_of(trial.dataset)}
            continue
        value = parts.get(head, getattr(trial, head))
        if isinstance(value, Mapping):
            parts[head] = _dropped(value, rest)
        elif head not in REPLICATED:
            parts[head] = None
    return replace(trial, **parts)


def _dropped(value: Mapping[str, Any], path: Iterable[str]) -> dict[str, Any]:
    """A copy without the value at the path; an empty copy for an empty path."""
    head, *rest = path or ("",)
    if not head:
        return {}
    kept = {k: v for k, v in value.items() if k != head}
    if rest and isinstance(value.get(head), Mapping):
        kept[head] = _dropped(value[head], rest)
    return kept
