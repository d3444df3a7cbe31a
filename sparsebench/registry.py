"""Registers named components by kind without importing them, with the plugins that own them."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from sparsebench.errors import PluginError, SuiteError, Unsupported, nearest
from sparsebench.metrics import Metrics

if TYPE_CHECKING:
    from pydantic import TypeAdapter

KINDS = (
    "backend", "model", "topology", "allocation", "drop", "grow", "update", "redistribution",
    "density_schedule", "pruning", "activation", "initializer", "loss", "objective", "optimizer",
    "schedule", "dataset", "observer", "trainer", "executor",
)  # fmt: skip
PLURALS = {kind: f"{kind}s" for kind in KINDS} | {"topology": "topologies", "loss": "losses"}
HOOKS = {kind: f"register_{plural}" for kind, plural in PLURALS.items()}
HOOKS["update"] = "register_update_schedules"
"""Name of the hook that registers each kind; hookspecs.py declares them."""

Component = dict[str, Any]
"""A component as data: its `name` and its parameters; nested components have the same form."""


@dataclass(frozen=True)
class OfKind:
    """Marks a parameter that is itself a component: `Annotated[Any, OfKind("activation")]`.

    A suite gives it as a name or a table; the component receives it built.
    """

    kind: str


@dataclass(frozen=True)
class OmittedIfDefault:
    """Marks a parameter that was added after records existed: `Annotated[T, Later()]`.

    If such a parameter has its default, it is left out of the component's data, so that the ids of
    older trials do not change.
    """


@dataclass(frozen=True)
class Location:
    """Marks a parameter of a data set that says where it is: `Annotated[str, Location()]`.

    It is not part of a trial's id if the data set's `identity` describes the content.
    """


@dataclass(frozen=True)
class Entry:
    """A registered component. Its module is not imported before it is used. The fields are those of
    `register` in `sparsebench.hookspecs`; `owner` names the plugin."""

    kind: str
    name: str
    target: type | str
    owner: str
    params: type | str | None = None
    requires: tuple[str, ...] = ()
    summary: str = ""
    get: str = ""

    def unavailable(self) -> str | None:
        """Why the component cannot be used here; None if it can. Of the modules that it requires,
        only the parents of dotted names are imported."""
        missing = [module for module in self.requires if not is_installed(module)]
        if not missing:
            return None
        how = f"; get it with: {self.get}" if self.get else ""
        return f"needs {', '.join(missing)}, not installed{how}"

    def load(self) -> type:
        return self._resolve(self.target)

    def parameters(self) -> type:
        """The dataclass of the component's parameters; imports only the module of that class.
        Raises PluginError if it is not a dataclass."""
        cls = self._resolve(self.params if self.params is not None else self.target)
        if not dataclasses.is_dataclass(cls):
            raise PluginError(
                f"{self.kind} {self.name!r} of {self.owner}: {cls.__name__} is not a dataclass; "
                "put @dataclass(frozen=True) above it, its fields are the parameters"
            )
        return cls

    def _resolve(self, target: type | str) -> type:
        found = load_target(target, f"{self.kind} {self.name!r} of {self.owner}")
        if not isinstance(found, type):
            raise PluginError(f"{self.kind} {self.name!r} of {self.owner}: {target} is not a class")
        return found


@dataclass(frozen=True)
class ReportSection:
    """A section that a plugin adds to the report; `load` returns the function that fills it."""

    title: str
    target: Callable[..., Any] | str
    place: str
    owner: str

    def load(self) -> Callable[..., Any]:
        return load_target(self.target, f"report section {self.title!r} of {self.owner}")


@dataclass(frozen=True)
class Command:
    """A command that a plugin adds to the command line; `load` returns its function."""

    name: str
    target: Callable[..., Any] | str
    owner: str

    def load(self) -> Callable[..., Any]:
        return load_target(self.target, f"command {self.name!r} of {self.owner}")


def load_target(target: Callable[..., Any] | str, what: str) -> Callable[..., Any]:
    """The object that `"module:name"` names; a target that is not a string is returned as it is.
    Raises PluginError, which starts with `what`, if the target cannot be imported."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise PluginError(
            f"{what} does not load from {target}: {type(error).__name__}: {error}"
        ) from error
    return found


class Registry:
    """The components of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> None:
        first = self._entries.setdefault(entry.name, entry)
        if first is not entry:
            raise PluginError(
                f"{self.kind} {entry.name!r} is registered twice: "
                f"by {first.owner} and by {entry.owner}"
            )

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise PluginError(f"unknown {self.kind} {name!r}.{nearest(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that was found.

    origin  name of its distribution, or the path of its file
    path    the folder or file that a fingerprint of the plugin covers
    error   why it failed to load; None if it did not fail
    module  name of the module that has its hooks
    """

    name: str
    origin: str
    version: str = ""
    path: Path | None = None
    error: str | None = None
    module: str = ""

    @property
    def owner(self) -> str:
        """The plugin's name in messages about what it registers."""
        return f"{self.name} ({self.origin})"


@dataclass
class Plugins:
    """Everything that plugins register."""

    registries: dict[str, Registry] = field(
        default_factory=lambda: {kind: Registry(kind) for kind in KINDS}
    )
    suite_folders: list[Path] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    report_sections: list[ReportSection] = field(default_factory=list)
    commands: dict[str, Command] = field(default_factory=dict)
    infos: list[PluginInfo] = field(default_factory=list)
    files: tuple[Path, ...] = ()

    def __getitem__(self, kind: str) -> Registry:
        return self.registries[kind]

    def entry(self, kind: str, name: str) -> Entry:
        """The entry of a component; the error for an unknown name also lists plugins that failed
        to load."""
        try:
            return self.registries[kind][name]
        except PluginError as error:
            broken = [f"{info.name} ({info.error})" for info in self.infos if info.error]
            if not broken:
                raise
            raise PluginError(f"{error}; plugins that did not load: {'; '.join(broken)}") from None

    def validate(self, kind: str, given: object, where: str) -> Component:
        """Validate a component: fill in every default, nested ones too, and check types and ranges.

        `given` is a name, or a table with a name. Raises SuiteError that starts with `where`.
        """
        from pydantic import ValidationError

        from sparsebench.pydantic_errors import complaint

        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            raise SuiteError(
                f"{where}: expected a {kind} name or a table with a name, found {given!r}"
            )
        try:
            cls: Any = self.entry(kind, given["name"]).parameters()
        except PluginError as error:
            raise SuiteError(f"{where}.name: {error}") from None
        values = {key: value for key, value in given.items() if key != "name"}
        known = [f.name for f in dataclasses.fields(cls) if f.init]
        for key in values:
            if key not in known:
                raise SuiteError(
                    f"{where}.{key}: {kind} {given['name']!r} has no such parameter."
                    f"{nearest(key, known)}"
                )
        nested, defaults = nested_kinds(cls), _defaults(cls)
        for key, nested_kind in nested.items():
            value = values.get(key, defaults.get(key))
            if value is not None:
                values[key] = self.validate(nested_kind, value, f"{where}.{key}")
        adapter = _adapter(cls, where)
        try:
            built = adapter.validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            separator = "." if error.errors()[0]["loc"] else ": "
            raise SuiteError(f"{where}{separator}{complaint(error, cls)}") from None
        except (TypeError, ValueError) as error:
            raise SuiteError(f"{where}: {error}") from None
        data: Component = {"name": given["name"], **adapter.dump_python(built, mode="json")}
        omittable = self._omittable(cls)
        return {k: v for k, v in data.items() if k not in omittable or v != omittable[k]}

    def omitted(self, kind: str, component: Component) -> Component:
        """The parameters that a component's data leave out, with the defaults that they have."""
        found = self._omittable(self.entry(kind, component["name"]).parameters())
        return {key: value for key, value in found.items() if key not in component}

    def _omittable(self, cls: type) -> Component:
        """The defaults, as data, of the parameters that are left out if they have them."""
        nested, defaults = nested_kinds(cls), _defaults(cls)
        marked = (n for n, mark in _marks(cls) if isinstance(mark, OmittedIfDefault))
        return {
            key: defaults[key] if key not in nested or defaults[key] is None
            else self.validate(nested[key], defaults[key], key)
            for key in marked if key in defaults
        }  # fmt: skip

    def build(self, kind: str, component: Component) -> Any:
        """Build a component from validated data; imports the modules that this needs. Raises
        Unsupported if the component is not available here."""
        entry = self.entry(kind, component["name"])
        reason = entry.unavailable()
        if reason is not None:
            raise Unsupported(f"{kind} {entry.name!r} is not available: {reason}")
        return entry.load()(**_arguments(entry.parameters(), component, self.build))

    def parameters(self, kind: str, component: Component) -> Any:
        """An object of the component's parameters, built from validated data, with those of nested
        components; None if it cannot be built. Imports no more than `Entry.parameters`."""
        try:
            cls = self.entry(kind, component["name"]).parameters()
            return cls(**_arguments(cls, component, self.parameters))
        except (PluginError, TypeError, ValueError):
            return None


def _arguments(
    cls: type, component: Component, make: Callable[[str, Component], Any]
) -> dict[str, Any]:
    """The arguments of the constructor `cls` for a component that is given as data; `make` builds
    nested components."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in component.items()}
    values |= {key: make(kind, found) for key, kind, found in nested_components(cls, component)}
    del values["name"]
    return values


def is_installed(module: str) -> bool:
    """Whether a module could be imported; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # the parent of a dotted name
        return False


@functools.cache
def nested_kinds(cls: type) -> dict[str, str]:
    """Parameter name -> kind, for the parameters that are components."""
    return {name: mark.kind for name, mark in _marks(cls) if isinstance(mark, OfKind)}


def nested_components(cls: type, component: Component) -> Iterator[tuple[str, str, Component]]:
    """Yield the key, kind and data of each parameter of a component that is itself a component,
    also if it has its default."""
    for key, kind in nested_kinds(cls).items():
        found = component.get(key, _defaults(cls).get(key))
        if found is not None:
            yield key, kind, {"name": found} if isinstance(found, str) else found


def locations(cls: type) -> list[str]:
    """The parameters that are marked as a `Location`."""
    return [name for name, mark in _marks(cls) if isinstance(mark, Location)]


@functools.cache
def _marks(cls: type) -> tuple[tuple[str, Any], ...]:
    """Parameter name and mark, for each mark in an `Annotated`."""
    return tuple(
        (name, mark)
        for name, hint in get_type_hints(cls, include_extras=True).items()
        for part in (hint, *get_args(hint))
        if get_origin(part) is Annotated
        for mark in get_args(part)[1:]
    )


@functools.cache
def _defaults(cls: Any) -> dict[str, Any]:
    """Parameter name -> default, for parameters with a default value (not a factory)."""
    fields = dataclasses.fields(cls)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def parameter_schema(cls: type) -> dict[str, Any]:
    """JSON schema of each parameter by name."""
    properties: dict[str, Any] = _adapter(cls, cls.__name__).json_schema().get("properties", {})
    return properties


def parameter_texts(cls: type) -> dict[str, str]:
    """The meaning of each parameter, from the docstrings of the class and its bases.

    A docstring has a table with a line per parameter: name, two or more spaces, meaning;
    continuation lines are indented. A parameter without a line is missing in the result.
    """
    names = {field.name for field in dataclasses.fields(cls)}
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        name = ""
        for line in inspect.cleandoc(base.__doc__ or "").splitlines():
            entry = re.match(r"(\w+) {2,}(\S.*)", line)
            if entry:
                name = entry[1]
                found[name] = entry[2]
            elif name and line.startswith("  "):
                found[name] += " " + line.strip()
            else:
                name = ""
    return {name: text for name, text in found.items() if name in names}


@functools.cache
def _schema(cls: type) -> TypeAdapter[Any]:
    """The validator of a class. It is made once, because that takes milliseconds and a suite
    validates thousands of components."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _adapter(cls: type, where: str) -> TypeAdapter[Any]:
    from pydantic.errors import PydanticUserError

    try:
        return _schema(cls)
    except (PydanticUserError, NameError) as error:
        reason = str(error).splitlines()[0]
        raise PluginError(
            f"{where}: the parameters of {cls.__name__} have no schema: {reason}"
        ) from None
