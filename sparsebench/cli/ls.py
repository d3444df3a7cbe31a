"""`sparsebench ls`: the components that a suite can name, and the runs of a store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.printing import print_rows, print_tables
from sparsebench.core.worker import mpiexec
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, nearest
from sparsebench.registry import KINDS, Entry, Plugins, nested_kinds, parameter_schema

Row = dict[str, Any]

PLURALS = {
    kind: {"topology": "topologies", "loss": "losses"}.get(kind, f"{kind}s") for kind in KINDS
}
LISTS = (*PLURALS.values(), "suites", "runs", "plugins")


def command(
    store: o.Store,
    data: o.Data,
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help=f"One of: {', '.join(LISTS)}.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this component's parameters.")
    ] = None,
    plugins: o.PluginFiles = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List components, suites, runs or plugins.

    Without a KIND: how many there are of each, and what is not available, and why.
    """
    rows = _rows(kind, name, load_plugins(plugins or (), data), store)
    if kind is None and format != "json":
        absent = [
            {"kind": row["kind"], "unavailable": name, "reason": reason}
            for row in rows
            for name, reason in row.pop("unavailable").items()
        ]
        print_tables([rows, absent], format)
        return
    if not rows and format != "json":
        typer.echo(f"{name} has no parameters" if name else f"no {kind}", err=True)
    print_rows(rows, format)


def _rows(kind: str | None, name: str | None, plugins: Plugins, store: Path) -> list[Row]:
    """The rows of a list, of a component's parameters, or of the overview."""
    from sparsebench.store.store import Store

    if kind is None:
        runs = Store(store).runs()
        return [
            *(_count(PLURALS[k], map(_component, plugins[k]), "name", "reason") for k in KINDS),
            _count("suites", _suites(plugins), "suite", "error"),
            {"kind": "runs", "count": len(runs), "names": runs[-1:], "unavailable": {}},
            _count("plugins", _plugins(plugins), "plugin", "error"),
        ]
    singular = {plural: kind for kind, plural in PLURALS.items()} | {kind: kind for kind in KINDS}
    if kind in singular and name is not None:
        return _parameters(plugins.entry(singular[kind], name))
    if kind in singular:
        return [_component(entry) for entry in plugins[singular[kind]]]
    if name is not None:
        raise SparsebenchError(f"ls {kind}: takes no NAME, found {name!r}")
    if kind == "suites":
        return _suites(plugins)
    if kind == "runs":
        return _runs(Store(store))
    if kind == "plugins":
        return _plugins(plugins)
    raise SparsebenchError(f"ls: unknown kind {kind!r}.{nearest(kind, LISTS)}")


def _count(kind: str, rows: Iterable[Row], name: str, reason: str) -> Row:
    """A list as a row of the overview; `name` and `reason` are the list's columns."""
    rows = list(rows)
    return {
        "kind": kind,
        "count": len(rows),
        "names": [row[name] for row in rows],
        "unavailable": {row[name]: row[reason] for row in rows if row[reason]},
    }


def _component(entry: Entry) -> Row:
    reason = entry.unavailable() or _absence(entry)
    return {
        "name": entry.name,
        "available": "no" if reason else "yes",
        "summary": entry.summary,
        "plugin": entry.owner,
        "reason": reason,
    }


def _absence(entry: Entry) -> str:
    """Why a data set without required parameters is not there, or why a trainer that starts
    several processes cannot."""
    try:
        if entry.kind == "trainer" and hasattr(entry.parameters(), "processes"):
            return mpiexec.missing()
        if entry.kind == "dataset":
            from sparsebench.suite.build import identity

            unset = dataclasses.MISSING
            fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(entry.parameters())
            if all(unset is not f.default or unset is not f.default_factory for f in fields):
                return str(identity(entry, {}).get("missing", ""))
    except SparsebenchError as error:
        return str(error) if entry.kind == "dataset" else ""
    return ""


def _parameters(entry: Entry) -> list[Row]:
    """A row per parameter; `required` where it has no default. A component's type is its kind."""
    cls = entry.parameters()
    kinds, schema = nested_kinds(cls), parameter_schema(cls)
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)
    rows = [
        {
            "parameter": field.name,
            "type": kinds.get(field.name) or _type_name(schema[field.name]),
            "default": _default(field),
        }
        for field in fields
        if field.init
    ]
    if entry.kind == "topology":  # any topology takes this add-on
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


def _type_name(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words: `number from 0 below 1`, `all | all-but-last`."""
    if "anyOf" in schema:
        return " or ".join(_type_name(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(str(word) for word in schema.get("enum", [schema.get("const")]))
    words = [TYPES.get(str(schema.get("type")), "anything")]
    if isinstance(schema.get("items"), Mapping):
        words.append(f"of ({_type_name(schema['items'])})")
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
            row = {"suite": name, "title": "", "path": str(file), "error": ""}
            try:
                row["title"] = read_suite(file).title
            except SparsebenchError as problem:
                row["error"] = str(problem)
            rows.append(row)
    return rows


def _runs(store: Any) -> list[Row]:
    manifests = {run: store.run(run).manifest for run in store.runs()}
    return [
        {
            "run": run,
            "suite": manifest.get("suite", ""),
            "trials": len(manifest.get("trials", ())),
            "title": manifest.get("title", ""),
        }
        for run, manifest in manifests.items()
    ]


def _plugins(plugins: Plugins) -> list[Row]:
    return [
        {
            "plugin": info.name,
            "version": info.version,
            "origin": info.origin,
            "commands": " ".join(
                name
                for name, command in plugins.commands.items()
                if command.owner == f"{info.name} ({info.origin})"
            ),
            "error": info.error or "",
        }
        for info in plugins.infos
    ]
