"""From a suite file to a Suite. Every complaint: file, key, what was found, what is known."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from sparsebench.core.status import Status
from sparsebench.errors import SuiteError, nearest
from sparsebench.suite.form import (
    Table,
    a_count,
    a_number,
    a_text,
    at_least_0,
    check_axis,
    check_known,
    check_plain,
    quoted,
    shown,
    some_texts,
    take,
    take_table,
)
from sparsebench.suite.suite import Claim, Exclude, Expect, Suite, brief_path
from sparsebench.suite.where import TRIAL_KEYS, check_key

SCHEMA = 1
LARGEST = 4 * 2**20
"""Bytes of a suite file."""

REQUIRED = ("dataset", "model", "epochs")
"""What [trial] or [grid] must say; everything else has a default."""

TOP = (
    "schema", "name", "title", "source", "deviations", "plugins", "trial", "case", "grid",
    "quick", "exclude", "expect", "claims", "sources",
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def find_suite(name_or_path: str | Path, folders: Iterable[Path]) -> Path:
    """The file of a suite: a path, or a name looked up in the suite folders."""
    given = str(name_or_path)
    is_path = given.endswith(".toml") or "/" in given or isinstance(name_or_path, Path)
    known = suite_files(folders)
    if not is_path and given in known:
        found = known[given]
        if len(found) > 1:
            raise SuiteError(
                f"suite {given!r} is in {' and in '.join(str(file.parent) for file in found)}: "
                "give its path"
            )
        return found[0]
    if _is_file(Path(given)):
        return Path(given)
    if is_path:
        raise SuiteError(f"suite file {given!r} does not exist")
    raise SuiteError(f"unknown suite {given!r}.{nearest(given, known)}")


def suite_files(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Suite name -> the files of that name, over all folders."""
    known: dict[str, list[Path]] = {}
    for folder in dict.fromkeys(folders):
        for file in sorted(folder.glob("*.toml")):
            known.setdefault(file.stem, []).append(file)
    return known


def read_suite(path: str | Path) -> Suite:
    """Read and check the form of a suite file; SuiteError is one line that names file and key."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise SuiteError(f"is larger than {LARGEST >> 20} MiB; expected a suite")
        text = path.read_bytes().decode()
        return _suite(tomllib.loads(text), path, text)
    except SuiteError as error:
        raise SuiteError(f"{brief_path(path)}: {error}") from None
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise SuiteError(f"{brief_path(path)}: nested too deeply") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise SuiteError(f"{brief_path(path)}: is no TOML in UTF-8: {reason}") from None


def _suite(data: Table, path: Path, text: str) -> Suite:
    _check_schema(data)
    check_known(data, TOP, "")
    name = take(data, "name", a_text, required=True)
    if not _NAME.fullmatch(name):
        raise SuiteError(f"name: found {shown(name)}; use letters, digits, '.', '_' and '-'")
    trial, grid = take_table(data, "trial", required=True), take_table(data, "grid")
    _check_trial(trial)
    _check_grid(grid)
    cases = _cases(data, grid)
    for key in REQUIRED:
        given = (*grid, *(cases[0] if cases else ()))
        if key not in trial and not any(axis.partition(".")[0] == key for axis in given):
            raise SuiteError(f"trial.{key}: missing; it is required")
    quick = take_table(data, "quick")
    for key, value in quick.items():
        _check_trial_key(key, "quick")
        check_plain(value, f"quick.{quoted(key)}")
    return Suite(
        name=name,
        title=take(data, "title", a_text) or "",
        source=take(data, "source", a_text) or "",
        deviations=tuple(take(data, "deviations", some_texts) or ()),
        path=path,
        text=text,
        plugins=tuple(_plugin_files(take(data, "plugins", some_texts) or [], path)),
        trial=trial,
        cases=cases,
        grid=grid,
        quick=quick,
        excludes=tuple(_exclude(*item) for item in _tables(data, "exclude")),
        expects=tuple(_expect(*item) for item in _tables(data, "expect")),
        claims=tuple(_claim(*item) for item in _tables(data, "claims")),
        sources=_sources(take_table(data, "sources")),
    )


def _check_schema(data: Table) -> None:
    found = data.get("schema")
    if found is None:
        raise SuiteError(f"schema: missing; write schema = {SCHEMA}")
    if isinstance(found, bool) or not isinstance(found, int):
        raise SuiteError(f"schema: expected the number {SCHEMA}, found {shown(found)}")
    if found != SCHEMA:
        raise SuiteError(
            f"schema: found {shown(found)}; this sparsebench reads {SCHEMA}: "
            f"{'install a newer one' if found > SCHEMA else 'write schema = 1'}"
        )


def _check_trial(trial: Table) -> None:
    check_known(trial, TRIAL_KEYS, "trial.")
    for key, value in trial.items():
        check_plain(value, f"trial.{key}")


def _check_grid(grid: Table) -> None:
    for key, values in grid.items():
        _check_trial_key(key, "grid")
        check_axis(values, f"grid.{quoted(key)}")


def _cases(data: Table, grid: Table) -> tuple[Table, ...]:
    """The tables of [[case]]: all with the same keys, none of which is an axis of the grid."""
    tables = _tables(data, "case")
    for table, where in tables:
        for key, value in table.items():
            _check_trial_key(key, where)
            check_plain(value, f"{where}.{quoted(key)}")
            if key in grid:
                raise SuiteError(f"{where}.{quoted(key)}: is an axis of [grid] too; keep one")
        if not table or table.keys() != tables[0][0].keys():
            first = ", ".join(tables[0][0]) or "no keys"
            raise SuiteError(
                f"{where}: has {', '.join(table) or 'no keys'}, {tables[0][1]} has {first}; "
                "every case says the same keys"
            )
    for index, (table, where) in enumerate(tables):
        if table in [other for other, _ in tables[:index]]:
            raise SuiteError(f"{where}: is the same as an earlier case")
    return tuple(table for table, _ in tables)


def _check_trial_key(key: str, where: str) -> None:
    try:
        check_key(key, TRIAL_KEYS)
    except SuiteError as error:
        raise SuiteError(f"{where}.{quoted(key)}: {error}") from None


def _exclude(table: Table, where: str) -> Exclude:
    check_known(table, ("where", "unless", "reason"), f"{where}.")
    unless = _where(table, where, "unless") if "unless" in table else None
    return Exclude(_where(table, where), take(table, "reason", a_text, where) or "", unless)


def _expect(table: Table, where: str) -> Expect:
    check_known(table, ("where", "status"), f"{where}.")
    status = take(table, "status", a_text, where, required=True)
    words = [str(word) for word in Status]
    if status not in words:
        raise SuiteError(f"{where}.status: unknown status {status!r}.{nearest(status, words)}")
    return Expect(_where(table, where), status)


def _claim(table: Table, where: str) -> Claim:
    known = ("text", "metric", "where", "against", "value", "std", "n", "tolerance", "source")
    check_known(table, known, f"{where}.")
    metric = take(table, "metric", a_text, where, required=True)
    if ("against" in table) == ("value" in table):
        found = "both" if "value" in table else "neither"
        raise SuiteError(f"{where}: a claim needs `against` or `value`, found {found}")
    tolerance = take(table, "tolerance", at_least_0, where)
    return Claim(
        text=take(table, "text", a_text, where, required=True),
        metric=metric,
        where=_where(table, where),
        against=_where(table, where, "against") if "against" in table else None,
        value=take(table, "value", a_number, where),
        std=take(table, "std", at_least_0, where),
        n=take(table, "n", a_count, where),
        tolerance=0.0 if tolerance is None else tolerance,
        source=take(table, "source", a_text, where) or "",
    )


def _where(table: Table, where: str, key: str = "where") -> Table:
    found = take_table(table, key, where, required=True)
    for name, value in found.items():
        try:
            check_key(name)
        except SuiteError as error:
            raise SuiteError(f"{where}.{key}.{quoted(name)}: {error}") from None
        check_plain(value, f"{where}.{key}.{quoted(name)}")
    return found


def _sources(tables: Table) -> dict[str, Table]:
    for name in tables:
        where = f"sources.{quoted(name)}"
        table = take_table(tables, name, "sources")
        check_known(table, ("openml", "note", "train"), f"{where}.")
        if not take(table, "openml", a_text, where) and not take(table, "note", a_text, where):
            raise SuiteError(f"{where}: say where to get it: openml = '...' or note = '...'")
        if take(table, "train", a_count, where) is not None and "openml" not in table:
            raise SuiteError(f"{where}.train: so many first rows of openml = '...', found without")
    return tables


def _plugin_files(names: Iterable[str], suite: Path) -> Iterable[Path]:
    for index, name in enumerate(names):
        file = suite.parent / name
        if not _is_file(file):
            raise SuiteError(f"plugins[{index}]: found {shown(name)}, no file {shown(str(file))}")
        yield file.resolve()


def _tables(data: Table, key: str) -> list[tuple[Table, str]]:
    """The tables of [[key]], each with its place."""
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise SuiteError(f"{key}: expected tables, [[{key}]]; found {shown(found)}")
    return [(item, f"{key}[{index}]") for index, item in enumerate(found)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
