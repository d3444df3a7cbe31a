"""`sparsebench ls`: lists components with their parameters, suites, runs and plugins."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import completion
from sparsebench.cli import options as o
from sparsebench.cli.output import print_damage, print_rows, print_tables
from sparsebench.core.worker import mpi
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, StoreError, nearest
from sparsebench.registry import (
    KINDS,
    PLURALS,
    Entry,
    Plugins,
    nested_kinds,
    parameter_schema,
    parameter_texts,
)
from sparsebench.store.safe_files import Damaged
from sparsebench.store.store import Store, StoredRun
from sparsebench.suite.suite import read_suite, suite_files
from sparsebench.suite.trial_builder import identity

Row = dict[str, Any]

KINDS_BY_PLURAL = {plural: kind for kind, plural in PLURALS.items()}


def ls(
    store: o.Store,
    data: o.Data,
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help=f"One of: {', '.join(completion.LISTS)}.",
            autocompletion=completion.lists,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this component's parameters.")
    ] = None,
    plugins: o.PluginFiles = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List components, suites, runs or plugins.

    Without a KIND: an overview, and why some components are not available. With a NAME: the
    component's parameters and what they mean.
    """
    known = load_plugins(plugins or (), data)
    if kind is None:
        rows = [_count(one, store, known) for one in completion.LISTS]
        counts = [{k: v for k, v in row.items() if k != "unavailable"} for row in rows]
        absent = [
            {"kind": row["kind"], "unavailable": name, "reason": reason}
            for row in rows
            for name, reason in row["unavailable"].items()
        ]
        print_tables([counts, absent], format, json=rows)
        return
    singular = KINDS_BY_PLURAL.get(kind, kind)
    if name is None:
        rows = _rows(kind, store, known)
    elif singular in KINDS:
        entry = known.entry(singular, name)
        rows = _parameters(entry)
        if format != "json":
            typer.echo(f"{name}, {singular} of {entry.owner}: {entry.summary}", err=True)
    else:
        raise SparsebenchError(f"ls {kind}: takes no NAME, found {name!r}")
    if not rows and format != "json":
        typer.echo(f"{name} has no parameters" if name else f"no {kind}", err=True)
    if kind == "suites" and format == "text":
        for folder in dict.fromkeys(str(Path(row["path"]).parent) for row in rows):
            typer.echo(f"suites in {folder}:", err=True)
        rows = [{key: row[key] for key in ("suite", "title", "error")} for row in rows]
    if kind == "runs" and format == "text":  # the id names the suite
        print_damage(row["problem"] for row in rows)
        rows = [{key: row[key] for key in ("run", "trials", "status")} for row in rows]
    print_rows(rows, format)


def _count(kind: str, store: Path, plugins: Plugins) -> Row:
    """The row of the overview for one kind of list."""
    if kind == "runs":  # the last one, without a look into any
        runs = Store(store).runs()
        return {"kind": kind, "count": len(runs), "names": runs[-1:], "unavailable": {}}
    rows = _rows(kind, store, plugins)
    name, reason = ("name", "reason") if kind in KINDS_BY_PLURAL else (kind[:-1], "error")
    return {
        "kind": kind,
        "count": len(rows),
        "names": [row[name] for row in rows],
        "unavailable": {row[name]: row[reason] for row in rows if row[reason]},
    }


def _rows(kind: str, store: Path, plugins: Plugins) -> list[Row]:
    """The rows of the list of one kind: a plural such as "backends", "suites", "runs" or
    "plugins"."""
    if kind == "suites":
        return [
            _suite(name, file)
            for name, files in suite_files(plugins.suite_folders).items()
            for file in files
        ]
    if kind == "runs":
        results = Store(store)
        return [_run(results.run(run)) for run in results.runs()]
    if kind == "plugins":
        owners = {name: command.owner for name, command in plugins.commands.items()}
        return [
            {
                "plugin": info.name,
                "version": info.version,
                "origin": info.origin,
                "commands": " ".join(name for name in owners if owners[name] == info.owner),
                "error": info.error or "",
            }
            for info in plugins.infos
        ]
    if (singular := KINDS_BY_PLURAL.get(kind, kind)) in KINDS:
        return [_component(entry) for entry in plugins[singular]]
    raise SparsebenchError(f"ls: unknown kind {kind!r}.{nearest(kind, completion.LISTS)}")


def _run(run: StoredRun) -> Row:
    try:
        state = run.state()
    except StoreError as error:
        status = "damaged" if isinstance(error, Damaged) else "not readable"
        return {"run": run.id, "suite": "", "trials": None, "status": status, "title": "",
                "problem": str(error)}  # fmt: skip
    counts = ", ".join(f"{count} {status}" for status, count in state.counts.items())
    word = "" if state.word == "over" else f"{state.word}: "
    return {
        "run": run.id,
        "suite": run.manifest.get("suite", ""),
        "trials": state.planned,
        "status": f"{word}{counts or 'none ended'}",
        "title": run.manifest.get("title", ""),
        "problem": "; ".join(state.damaged),
    }


def _suite(name: str, file: Path) -> Row:
    title = error = ""
    try:
        title = read_suite(file).title
    except SparsebenchError as problem:
        error = str(problem)
    return {"suite": name, "title": title, "path": str(file), "error": error}


def _component(entry: Entry) -> Row:
    """The row of a component, with the reason if it is not available, which may be a missing data
    set or missing MPI."""
    reason = entry.unavailable()
    try:
        if not reason and entry.kind == "trainer" and hasattr(entry.parameters(), "processes"):
            reason = mpi.missing()
        elif not reason and entry.kind == "dataset" and not _required(entry.parameters()):
            reason = str(identity(entry, {}).get("missing", ""))
    except SparsebenchError as error:
        reason = str(error) if entry.kind == "dataset" else ""
    return {
        "name": entry.name,
        "available": "no" if reason else "yes",
        "summary": entry.summary,
        "plugin": entry.owner.partition(" (")[0],
        "reason": reason or "",
    }


def _required(cls: Any) -> list[str]:
    """The parameters without a default."""
    unset = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    return [f.name for f in fields if f.default is unset and f.default_factory is unset]


def _parameters(entry: Entry) -> list[Row]:
    """A row per parameter; the default is `required` if there is none. The type of a parameter that
    is a component is its kind, such as `backend`."""
    cls: Any = entry.parameters()
    kinds, schema, required = nested_kinds(cls), parameter_schema(cls), _required(cls)
    texts = parameter_texts(cls)
    rows = []
    for field in [one for one in dataclasses.fields(cls) if one.init]:
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        rows.append(
            {
                "parameter": field.name,
                "type": kinds.get(field.name) or _type_name(schema[field.name]),
                "default": "required" if field.name in required else _toml(default),
                "meaning": texts.get(field.name, ""),
            }
        )
    if entry.kind == "topology":  # any topology takes this add-on
        rows.append({**PRUNE, "default": _toml(None)})
    return rows


def _toml(default: Any) -> str:
    """A default value in TOML; `none` means that a suite leaves the parameter out."""
    return "none" if default is None else json.dumps(default)


PRUNE = {
    "parameter": "prune",
    "type": "pruning",
    "meaning": "how neurons are removed for good, beside the topology updates",
}

TYPES = {
    "integer": "whole number", "number": "number", "string": "text", "boolean": "true or false",
    "null": "none", "array": "list", "object": "table",
}  # fmt: skip
BOUNDS = {
    "exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to",
    "minItems": "at least",
}  # fmt: skip


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
