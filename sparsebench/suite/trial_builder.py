"""Builds trials from raw tables, which have the form of a suite's [trial]: fills in defaults and
validates every component."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsebench.core.data.catalogue import MANIFEST
from sparsebench.core.data.openml import Place, fetch_command
from sparsebench.core.methods.part_form import why_incomplete
from sparsebench.core.trial import PARTS, Trial, canonical
from sparsebench.errors import (
    MissingData,
    PluginError,
    SparsebenchError,
    SuiteError,
    nearest,
    shown,
)
from sparsebench.registry import (
    Component,
    Entry,
    Plugins,
    locations,
    nested_components,
    nested_kinds,
)
from sparsebench.suite.defaults import DEFAULT_NAMES
from sparsebench.suite.keys import one_value, trial_values
from sparsebench.suite.suite import Suite

Raw = dict[str, Any]


@dataclass
class Builder:
    """Builds trials from raw tables; each distinct component is validated once."""

    suite: Suite
    plugins: Plugins
    data_dir: Path
    _known: dict[str, Component] = field(default_factory=dict)
    _data: dict[str, tuple[Raw, list[str]]] = field(default_factory=dict)
    _omitted: dict[str, Raw] = field(default_factory=dict)

    def trial(self, raw: Raw, axes: Raw) -> Trial:
        parts: dict[str, Any] = {part: self._component(part, raw.get(part)) for part in PARTS}
        objective, model = parts["objective"], raw.get("model")
        if objective["name"] != DEFAULT_NAMES["objective"] or objective.get("loss"):
            # the loss is the objective's; a model may name one for the default objective only
            if isinstance(model, Mapping) and "loss" in model:
                raise SuiteError(
                    "trial.model.loss: trial.objective is given, and the loss is part of that; "
                    "expected it as objective.loss"
                )
            if "loss" in parts["model"]:
                parts["model"]["loss"] = None
        data, where = self._identity_and_locations(parts["dataset"])
        return Trial(
            **parts,
            **trial_values(raw),
            data=data,
            defaults=self._left_out(parts),
            locations=where,
            observers=self._observers(raw.get("observers")),
            suite=self.suite.name,
            axes=axes,
        )

    def named(self, key: str, value: Any) -> Any:
        """A component with its default name filled in, for a label; other values unchanged."""
        if key in DEFAULT_NAMES and isinstance(value, Mapping):
            return {"name": DEFAULT_NAMES[key], **value}
        return copy.deepcopy(value)

    def put(self, raw: Raw, path: str, value: Any) -> None:
        """Set the value at a dotted path of a raw trial. On the way, names of components and
        missing components are replaced by tables."""
        part, *steps = path.split(".")
        if not steps:
            raw[part] = copy.deepcopy(value)
            return
        table, kind = self._table(raw, part, raw.get(part), DEFAULT_NAMES.get(part)), part
        for step in steps[:-1]:
            default, kind = self._default(kind, table.get("name"), step)
            table = self._table(table, step, table.get(step), default)
        table[steps[-1]] = copy.deepcopy(value)

    @staticmethod
    def _table(parent: Raw, key: str, value: Any, default: Any) -> Raw:
        """Replace parent[key] by a table that may be modified, and return the table.

        value    the present value: a table, a name, or None or "" for none
        default  the component that is meant if the value has no name; None: there is none
        """
        found = default if value is None or value == "" else value
        table = {"name": found} if isinstance(found, str) else {}
        if isinstance(found, Mapping):
            table = dict(found)
            if default is not None and "name" not in found:
                table = {"name": default if isinstance(default, str) else default["name"], **found}
        parent[key] = table
        return table

    def _default(self, kind: str, name: object, key: str) -> tuple[Any, str]:
        """The default and the kind of parameter `key` of the component `name`, if that is a
        component; else None and an empty kind."""
        if kind == "topology" and key == "prune":
            return None, "pruning"
        if kind not in self.plugins.registries or name not in self.plugins[kind]:
            return None, ""
        cls = self.plugins.entry(kind, str(name)).parameters()
        defaults = {one.name: one.default for one in dataclasses.fields(cls)}
        default = defaults.get(key)
        is_component = isinstance(default, str | Mapping)
        return default if is_component else None, nested_kinds(cls).get(key, "")

    def _component(self, part: str, given: Any) -> Component:
        """The component of a kind, validated; the default one if `given` is None. Raises
        SuiteError."""
        where = f"trial.{part}"
        if given is None and part not in DEFAULT_NAMES:
            raise SuiteError(f"{where}: missing; it is required")
        if isinstance(given, list):
            raise SuiteError(f"{where}: {one_value(given)}")
        if given is None or isinstance(given, str):
            given = {"name": DEFAULT_NAMES[part] if given is None else given}
        if not isinstance(given, Mapping):
            raise SuiteError(
                f"{where}: expected a {part} name or a table with a name, found {shown(given)}"
            )
        if "name" not in given and part in DEFAULT_NAMES:
            given = {"name": DEFAULT_NAMES[part], **given}
        key = f"{part} {canonical(given)}"
        if key not in self._known:
            self._known[key] = self._validated(part, dict(given))
        return copy.deepcopy(self._known[key])

    def _validated(self, part: str, given: Raw) -> Component:
        where = f"trial.{part}"
        if part == "dataset" and self._is_elsewhere(given):
            return given
        if part == "objective" and given == {"name": DEFAULT_NAMES[part]}:
            return given  # no part of what a trial is, and not every registry has it
        prune = given.pop("prune", None) if part == "topology" else None
        try:
            if part == "topology" and given["name"] in self.plugins["topology"]:
                # what `validate` says of an unknown parameter, knowing `prune` too
                cls = self.plugins.entry("topology", str(given["name"])).parameters()
                known = [*(field.name for field in dataclasses.fields(cls) if field.init), "prune"]
                for key in given:
                    if key != "name" and key not in known:
                        raise SuiteError(
                            f"{where}.{key}: topology {given['name']!r} has no such parameter."
                            f"{nearest(key, known)}"
                        )
            found = self.plugins.validate(part, given, where)
            self._check_parts(part, found, where)
            if part == "topology":
                found["prune"] = None
                if prune is not None and prune != "":
                    found["prune"] = self.plugins.validate("pruning", prune, f"{where}.prune")
        except SuiteError as error:
            raise SuiteError(_with_hint(str(error), {part: given})) from None
        return found

    def _check_parts(self, kind: str, component: Component, where: str) -> None:
        """Raise SuiteError if the class of a part, such as a drop criterion, is not complete. Only
        classes that plugins registered themselves are looked at, since others are not imported."""
        for key, kind_of_part, one in nested_components(
            self.plugins.entry(kind, component["name"]).parameters(), component
        ):
            entry = self.plugins.entry(kind_of_part, one["name"])
            if entry.params is None and isinstance(entry.target, type):
                reason = why_incomplete(kind_of_part, entry.target)
                if reason is not None:
                    raise SuiteError(
                        f"{where}.{key}: {kind_of_part} {entry.name!r} of {entry.owner} {reason}"
                    )

    def _left_out(self, parts: Mapping[str, Component]) -> dict[str, Raw]:
        """By component, the parameters that its data leave out because they have their default."""
        found = {}
        for kind, one in parts.items():
            key = f"{kind} {canonical(one)}"
            if key not in self._omitted:
                known = one["name"] in self.plugins[kind]
                self._omitted[key] = self.plugins.omitted(kind, one) if known else {}
            if self._omitted[key]:
                found[kind] = copy.deepcopy(self._omitted[key])
        return found

    def _observers(self, given: Any) -> list[Component]:
        """The observers, validated. A single name is read as a list of one. Raises SuiteError if an
        observer is listed twice, or if two have a metric of the same name."""
        if given is None:
            return []
        if not isinstance(given, list):
            given = [given]
        owners: dict[str, str] = {}
        found: list[Component] = []
        for index, one in enumerate(given):
            where = f"trial.observers[{index}]"
            observer = self.plugins.validate("observer", one, where)
            name = observer["name"]
            if name in (other["name"] for other in found):
                raise SuiteError(f"{where}: observer {name!r} is listed twice")
            cls: Any = self.plugins.entry("observer", name).parameters()
            for metric in cls.metrics:
                taken = owners.setdefault(metric.name, name)
                if taken != name:
                    raise SuiteError(
                        f"{where}: observers {taken!r} and {name!r} both give {metric.name!r}; "
                        "keep one"
                    )
            found.append(observer)
        return found

    def _is_elsewhere(self, dataset: Raw) -> bool:
        """Whether no plugin has the data set but the suite's [sources] names it."""
        name = dataset.get("name")
        return name not in self.plugins["dataset"] and name in self.suite.sources

    def _identity_and_locations(self, dataset: Component) -> tuple[Raw, list[str]]:
        """The identity of a data set, and its parameters that say where it is."""
        key = canonical(dataset)
        if key not in self._data:
            name = dataset["name"]
            source = self.suite.sources.get(name, {})
            command = None  # to download the set from the place in the suite's [sources]
            if source.get("openml"):
                place = Place(source["openml"], train=source.get("train"))
                command = fetch_command(name, self.data_dir, place)
            if self._is_elsewhere(dataset):
                how = (
                    f"get it with: {command}"
                    if command is not None
                    else (
                        f"make {name}.npz (X, y) from {source['note']} and list it in "
                        f"{self.data_dir / MANIFEST}, or look for it on OpenML: "
                        f"{fetch_command(name, self.data_dir)} --openml NAME"
                    )
                )
                text = f"data set {name!r} is not in {self.data_dir}; {how}"
                self._data[key] = {"missing": " ".join(text.split())}, []
            else:
                values = {key: value for key, value in dataset.items() if key != "name"}
                try:
                    entry = self.plugins.entry("dataset", name)
                    found = identity(entry, values, command)
                    self._data[key] = found, locations(entry.parameters())
                except SparsebenchError as error:
                    raise SuiteError(f"trial.dataset: {error}") from error
        return copy.deepcopy(self._data[key])


def identity(entry: Entry, values: Mapping[str, Any], command: str | None = None) -> Raw:
    """What identifies the content of a data set besides its parameters. {"missing": reason} if the
    data are not there; {} if the parameters determine the content, or if the component is not
    available. Loads no arrays.

    command  downloads the set; used in the reason if the data set itself names no command
    """
    if entry.unavailable() is not None:
        return {}
    try:
        instance = entry.parameters()(**values)
        found = instance.identity() if hasattr(instance, "identity") else {}
        canonical(dict(found))
    except MissingData as error:
        more = f", or get another version with: {command}" if command and not error.command else ""
        return {"missing": " ".join(f"{error}{more}".split())}
    except SparsebenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"dataset {entry.name!r} of {entry.owner}: identity() raised "
            f"{type(error).__name__}: {error}"
        ) from error
    return dict(found)


def _with_hint(message: str, raw: Raw) -> str:
    """The error about a parameter, with a hint about [grid] if a list was given for a single
    value."""
    place = message.partition(":")[0].removeprefix("trial.")
    value: Any = raw
    for step in place.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, list) and "valid list" not in message and "valid tuple" not in message:
        return f"{message}; a list means one trial each only in [grid]"
    return message
