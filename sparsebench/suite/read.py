"""From a suite file to a Suite. Every complaint: file, key, what was found, what is known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sparsebench.errors import SuiteError, nearest
from sparsebench.suite.suite import Suite, SuiteFile, brief_path
from sparsebench.validation import complaint, quoted, read_toml, shown

SCHEMA = 1

REQUIRED = ("dataset", "model", "epochs")
"""The keys that [trial] or [grid] must have; everything else has a default."""

_FORM = TypeAdapter(SuiteFile)


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
    data, text = read_toml(path, SuiteError, brief_path(path))
    try:
        return _suite(data, path, text)
    except ValidationError as error:
        raise SuiteError(f"{brief_path(path)}: {complaint(error, SuiteFile)}") from None
    except SuiteError as error:
        raise SuiteError(f"{brief_path(path)}: {error}") from None
    except RecursionError:
        raise SuiteError(f"{brief_path(path)}: nested too deeply") from None


def _suite(data: dict[str, Any], path: Path, text: str) -> Suite:
    found = data.get("schema")
    if found is None:
        raise SuiteError(f"schema: missing; write schema = {SCHEMA}")
    if type(found) is not int:
        raise SuiteError(f"schema: expected the number {SCHEMA}, found {shown(found)}")
    if found != SCHEMA:
        advice = "install a newer one" if found > SCHEMA else f"write schema = {SCHEMA}"
        raise SuiteError(f"schema: found {shown(found)}; this sparsebench reads {SCHEMA}: {advice}")
    suite = _FORM.validate_python(data)
    _check_cases(suite)
    for key in REQUIRED:
        given = (*suite.grid, *(suite.cases[0] if suite.cases else ()))
        if key not in suite.trial and not any(axis.partition(".")[0] == key for axis in given):
            raise SuiteError(f"trial.{key}: missing; it is required")
    plugins = []
    for index, name in enumerate(suite.plugin_names):
        file = path.parent / name
        if not _is_file(file):
            raise SuiteError(f"plugins[{index}]: found {shown(name)}, no file {shown(str(file))}")
        plugins.append(file.resolve())
    return Suite(**vars(suite), path=path, text=text, plugins=tuple(plugins))


def _check_cases(suite: SuiteFile) -> None:
    """All cases have the same keys, none of which is an axis of the grid."""
    for index, case in enumerate(suite.cases):
        for key in case:
            if key in suite.grid:
                raise SuiteError(f"case[{index}].{quoted(key)}: is an axis of [grid] too; keep one")
        if not case or case.keys() != suite.cases[0].keys():
            first = ", ".join(suite.cases[0]) or "no keys"
            raise SuiteError(
                f"case[{index}]: has {', '.join(case) or 'no keys'}, case[0] has {first}; "
                "every case says the same keys"
            )
        if case in suite.cases[:index]:
            raise SuiteError(f"case[{index}]: is the same as an earlier case")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
