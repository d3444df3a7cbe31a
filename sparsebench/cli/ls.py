"""`sparsebench ls`: what there is to name in a suite, and what has been run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_rows, print_tables
from sparsebench.core.worker import mpiexec
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, nearest
from sparsebench.machine import data_directory
from sparsebench.registry import KINDS, Entry, Plugins, nested_kinds

Row = dict[str, Any]

PLURALS = {
    kind: {"topology": "topologies", "loss": "losses"}.get(kind, f"{kind}s") for kind in KINDS
}
LISTS = (*PLURALS.values(), "suites", "runs", "plugins")


def command(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help=f"One of: {', '.join(LISTS)}.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this component's parameters.")
    ] = None,
    store: o.Store = o.DEFAULT_STORE,
    data: o.Data = None,
    plugin: o.PluginFiles = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List components, suites, runs or plugins.

    Without a KIND: how many there are of each, and what is not available, and why.
    """
    plugins = load_plugins(plugin or (), data_directory(data))
    rows = listed(kind, name, plugins, store)
    if kind is None and not (json or format == "json"):
        absent = [
            {"kind": row["kind"], "unavailable": name, "reason": reason}
            for row in rows
            for name, reason in row.pop("unavailable").items()
        ]
        print_tables([rows, absent], format)
        return
    if not rows and not (json or format == "json"):
        typer.echo(f"{name} has no parameters" if name else f"no {kind}", err=True)
    print_rows(rows, format, json)


def listed(kind: str | None, name: str | None, plugins: Plugins, store: Path) -> list[Row]:
    """The rows of a list, of a component's parameters, or of the overview."""
    if kind is None:
        return _overview(plugins, store)
    singular = {plural: kind for kind, plural in PLURALS.items()} | {kind: kind for kind in KINDS}
    if kind in singular:
        registry = plugins[singular[kind]]
        if name is not None:
            return _parameters(plugins.entry(singular[kind], name))
        return [_component(entry) for entry in registry]
    if name is not None:
        raise SparsebenchError(f"ls {kind}: takes no NAME, found {name!r}")
    if kind == "suites":
        return _suites(plugins)
    if kind == "runs":
        return _runs(store)
    if kind == "plugins":
        return _plugins(plugins)
    raise SparsebenchError(f"ls: unknown kind {kind!r}.{nearest(kind, LISTS)}")


def _overview(plugins: Plugins, store: Path) -> list[Row]:
    """A row per kind; `unavailable` is name -> reason. Of runs only the last is named."""
    runs = _run_ids(store)
    return [
        *(_counted(PLURALS[k], map(_component, plugins[k]), "name", "reason") for k in KINDS),
        _counted("suites", _suites(plugins), "suite", "error"),
        {"kind": "runs", "count": len(runs), "names": runs[-1:], "unavailable": {}},
        _counted("plugins", _plugins(plugins), "plugin", "error"),
    ]


def _counted(kind: str, rows: Iterable[Row], name: str, reason: str) -> Row:
    """A list in a row: `name` and `reason` are the columns that say so."""
    rows = list(rows)
    return {
        "kind": kind,
        "count": len(rows),
        "names": [row[name] for row in rows],
        "unavailable": {row[name]: row[reason] for row in rows if row[reason]},
    }


def _component(entry: Entry) -> Row:
    reason = entry.unavailable() or _missing_data(entry) or _missing_mpiexec(entry)
    return {
        "name": entry.name,
        "available": "no" if reason else "yes",
        "summary": entry.summary,
        "plugin": entry.owner,
        "reason": reason or "",
    }


def _missing_data(entry: Entry) -> str | None:
    """Why a data set is not there; None for what needs parameters to tell."""
    if entry.kind != "dataset":
        return None
    from sparsebench.suite.build import identity

    try:
        if any(field.default is dataclasses.MISSING for field in _fields(entry)):
            return None
        missing = identity(entry, {}).get("missing")
    except SparsebenchError as error:
        return str(error)
    return str(missing) if missing is not None else None


def _missing_mpiexec(entry: Entry) -> str | None:
    """Why a trainer of several processes cannot start them here."""
    if entry.kind != "trainer":
        return None
    try:
        if not hasattr(entry.parameters(), "processes"):
            return None
    except SparsebenchError:
        return None  # told where it is used
    return mpiexec.missing() or None


def _fields(entry: Entry) -> list[dataclasses.Field[Any]]:
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(entry.parameters())
    has_factory = dataclasses.MISSING
    return [f for f in fields if f.init and f.default_factory is has_factory]


def _parameters(entry: Entry) -> list[Row]:
    """A row per parameter; `required` where it has no default. A component's type is its kind."""
    from sparsebench.registry import parameter_schema

    cls = entry.parameters()
    kinds, schema = nested_kinds(cls), parameter_schema(cls)
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)
    rows = [
        {
            "parameter": field.name,
            "type": kinds.get(field.name) or _in_words(schema[field.name]),
            "default": _default(field),
        }
        for field in fields
        if field.init
    ]
    if entry.kind == "topology":  # goes on top of any
        rows.append({"parameter": "prune", "type": "pruning", "default": "None"})
    return rows


TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "none",
    "array": "list",
    "object": "table",
}
BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "from",
    "exclusiveMaximum": "below",
    "maximum": "to",
    "minItems": "at least",
}


def _in_words(schema: Mapping[str, Any]) -> str:
    """A JSON schema as people say it: `number from 0 below 1`, `all | all-but-last`."""
    if "anyOf" in schema:
        return " or ".join(_in_words(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(str(word) for word in schema.get("enum", [schema.get("const")]))
    words = [TYPES.get(str(schema.get("type")), "anything")]
    if isinstance(schema.get("items"), Mapping):
        words.append(f"of ({_in_words(schema['items'])})")
    words += [f"{word} {schema[key]:g}" for key, word in BOUNDS.items() if key in schema]
    return " ".join(words)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "required" if field.default is dataclasses.MISSING else repr(field.default)


def _suites(plugins: Plugins) -> list[Row]:
    from sparsebench.suite.read import read_suite, suite_files

    rows = []
    for name, files in suite_files(plugins.suite_folders).items():
        for file in files:
            try:
                title, error = read_suite(file).title, ""
            except SparsebenchError as problem:
                title, error = "", str(problem)
            rows.append({"suite": name, "title": title, "path": str(file), "error": error})
    return rows


def _run_ids(store: Path) -> list[str]:
    from sparsebench.store.store import Store

    return Store(store).runs()


def _runs(store: Path) -> list[Row]:
    from sparsebench.store.store import Store

    shelf = Store(store)
    return [_run_row(shelf, run) for run in shelf.runs()]


def _run_row(shelf: Any, run: str) -> Row:
    manifest = shelf.run(run).manifest
    return {
        "run": run,
        "suite": manifest.get("suite", ""),
        "trials": len(manifest.get("trials", ())),
        "title": manifest.get("title", ""),
    }


def _plugins(plugins: Plugins) -> list[Row]:
    return [
        {
            "plugin": info.name,
            "version": info.version,
            "origin": info.origin,
            "error": info.error or "",
        }
        for info in plugins.infos
    ]
