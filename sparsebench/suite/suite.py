"""Finds, reads and checks suites: which trials to run, and which published claims they test.

Every error names the file, the key, what was found and what is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Required

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    with_config,
)
from typing_extensions import TypedDict

from sparsebench.core.status import Status
from sparsebench.discovery import load_plugins
from sparsebench.errors import SuiteError, nearest, shown
from sparsebench.pydantic_errors import complaint
from sparsebench.registry import Plugins
from sparsebench.suite.keys import SELECTOR_KEYS, TRIAL_KEYS, check_key
from sparsebench.toml_file import check_plain, parse_toml, quoted, read_toml

SCHEMA = 1

VERDICT_SEEDS = 5
"""The least number of seeds for a verdict on a claim about a measure that varies with the seed."""

REQUIRED = ("dataset", "model", "epochs")
"""The keys that [trial] or [grid] must have; all others have a default."""

FORBID: Any = {"extra": "forbid", "allow_inf_nan": False}


def _name(found: str) -> str:
    word = found.replace(".", "").replace("_", "").replace("-", "")
    if not (found[:1].isalnum() and word.isalnum() and found.isascii() and len(found) <= 100):
        raise ValueError(f"found {shown(found)}; use letters, digits, '.', '_' and '-'")
    return found


def _keys(known: Sequence[str], *, dotted: bool = True, plain: bool = True) -> AfterValidator:
    """A validator of a table: its keys have to be in `known`, with parameters of components if
    `dotted`, and its values plain data if `plain`."""

    def check(table: dict[str, Any]) -> dict[str, Any]:
        for key, value in table.items():
            try:
                check_key(key, known, dotted=dotted)
            except SuiteError as error:
                raise ValueError(f".{quoted(key)}: {error}") from None
            if plain:
                check_plain(value, f".{quoted(key)}")
        return table

    return AfterValidator(check)


def _grid(table: dict[str, Any]) -> dict[str, Any]:
    for key, values in table.items():
        check_axis(values, f".{quoted(key)}")
    return table


def check_axis(values: object, where: str) -> None:
    """Raise ValueError unless `values` is a list of one or more plain values."""
    if not isinstance(values, list):
        raise ValueError(f"{where}: expected a list, one trial each; found {shown(values)}")
    if not values:
        raise ValueError(f"{where}: found an empty list; an axis needs a value")
    check_plain(values, where)


def _tables(found: object, info: ValidationInfo) -> object:
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        key = {"cases": "case", "excludes": "exclude", "expects": "expect"}.get(
            str(info.field_name), info.field_name
        )
        raise ValueError(f"expected tables, [[{key}]]; found {shown(found)}")
    return found


def _source(source: Source) -> Source:
    if not source.get("openml") and not source.get("note"):
        raise ValueError(": say where to get it: openml = '...' or note = '...'")
    if "train" in source and "openml" not in source:
        raise ValueError(".train: so many first rows of openml = '...', found without")
    return source


def _status(word: str) -> str:
    words = [str(word) for word in Status]
    if word not in words:
        raise ValueError(f"unknown status {word!r}.{nearest(word, words)}")
    return word


def _against_or_value(claim: Claim) -> Claim:
    if (claim.against is None) == (claim.value is None):
        found = "neither" if claim.value is None else "both"
        raise ValueError(f"a claim needs `against` or `value`, found {found}")
    if claim.against_metric is not None and claim.against is None:
        raise ValueError("`against_metric` is of the trials `against`, found without")
    return claim


Tables = BeforeValidator(_tables)
Overrides = Annotated[dict[str, Any], _keys(TRIAL_KEYS)]
Selector = Annotated[dict[str, Any], _keys(SELECTOR_KEYS)]
Texts = Annotated[tuple[str, ...], Field(description="a list of texts")]
Count = Annotated[int, Strict(), Field(gt=0, description="a whole number above 0")]
Number = Annotated[float, Strict(), Field(gt=-1e300, lt=1e300, description="a finite number")]
AtLeast0 = Annotated[float, Strict(), Field(ge=0, lt=1e300, description="a number, 0 or more")]


@dataclass(frozen=True)
class Exclude:
    """Trials of the grid that are not run: those that match `where` and do not match `unless`.
    `reason` says why."""

    __pydantic_config__: ClassVar[Any] = FORBID

    where: Selector
    reason: str = ""
    unless: Selector | None = None


@dataclass(frozen=True)
class Expect:
    """Trials that are expected to end with `status`, because the failure is the result."""

    __pydantic_config__: ClassVar[Any] = FORBID

    where: Selector
    status: Annotated[str, AfterValidator(_status)]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The claim that a metric of the trials `where`, the first side, is at least as good as that of
    a second side, up to the tolerance.

    The second side is the trials `against`, or a published `value` with its standard deviation
    `std` over `n` runs, if the source states them.

    against_metric  the metric of the trials `against`; None: `metric`
    requires    conditions that the trials must satisfy; otherwise the claim is not run
    conditions  further differences besides the machine, if published time or memory is compared
    """

    __pydantic_config__: ClassVar[Any] = FORBID

    text: str
    metric: str
    where: Selector
    requires: Selector | None = None
    conditions: str = ""
    against: Selector | None = None
    against_metric: str | None = None
    value: Number | None = None
    std: AtLeast0 | None = None
    n: Count | None = None
    tolerance: AtLeast0 = 0.0
    source: str = ""


@with_config(FORBID)
class Source(TypedDict, total=False):
    """Where to get a data set that no plugin has.

    openml  its name on OpenML
    note    where else it is, in words
    train   number of its first rows that are the training part
    """

    openml: str
    note: str
    train: Count


@with_config(FORBID)
class ChartOptions(TypedDict, total=False):
    """The chart that a report begins with: y against x, which are columns of the export or dotted
    keys of a trial. y is the primary metric by default. See `sparsebench.report.line_chart`."""

    x: Required[str]
    y: str
    color: str
    panel: str
    by: str
    log: list[Literal["x", "y"]]


@with_config(FORBID)
class ReportOptions(TypedDict, total=False):
    """The options of a suite for its report.

    chart   the chart that the report begins with
    answer  begin the report with an answer from the claims that compare trials `where` with trials
            `against`: which of the former are recommended, at what cost, and on which inputs the
            network relies
    """

    chart: ChartOptions
    answer: bool


@dataclass(frozen=True, kw_only=True)
class SuiteFile:
    """The tables of a suite file. Their form is checked, their components are not.

    question the question that the report answers first
    lead     the name of the chart that answers the question, which comes first
    source, deviations  the paper, and the known differences from it
    plugin_names  files of plugins, relative to the suite's folder
    trial    [trial] as written
    cases    values that go together, by dotted key; each case is combined with the grid
    grid     dotted key -> values, one trial each
    quick    what --quick overrides: a list for a grid axis or `seed` replaces the axis, any other
             value sets the trial's value and removes the axis
    sources  name of a data set that no plugin has -> where to get it
    report   the options for the report of this suite
    """

    __pydantic_config__: ClassVar[Any] = FORBID

    schema: int = 1
    name: Annotated[str, AfterValidator(_name)]
    title: str = ""
    question: str = ""
    lead: str = ""
    source: str = ""
    deviations: Texts = ()
    plugin_names: Annotated[Texts, Field(alias="plugins")] = ()
    trial: Annotated[dict[str, Any], _keys(TRIAL_KEYS, dotted=False)]
    cases: Annotated[tuple[Overrides, ...], Field(alias="case"), Tables] = ()
    grid: Annotated[dict[str, Any], _keys(TRIAL_KEYS, plain=False), AfterValidator(_grid)] = field(
        default_factory=dict
    )
    quick: Overrides = field(default_factory=dict)
    excludes: Annotated[tuple[Exclude, ...], Field(alias="exclude"), Tables] = ()
    expects: Annotated[tuple[Expect, ...], Field(alias="expect"), Tables] = ()
    claims: Annotated[tuple[Annotated[Claim, AfterValidator(_against_or_value)], ...], Tables] = ()
    sources: dict[str, Annotated[Source, AfterValidator(_source)]] = field(default_factory=dict)
    report: ReportOptions = field(default_factory=lambda: ReportOptions())


@dataclass(frozen=True, kw_only=True)
class Suite(SuiteFile):
    """A suite as read from its file.

    path     the suite's file
    text     its content
    plugins  the files of its plugins
    """

    path: Path = Path("suite.toml")
    text: str = ""
    plugins: tuple[Path, ...] = ()

    @property
    def place(self) -> str:
        """The file's name, for messages."""
        return brief_path(self.path)


def brief_path(path: Path) -> str:
    """A path below the current folder, relative to it; any other path unchanged."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):
        return str(path)


def load_suite(
    name_or_path: str | Path,
    *,
    plugin_files: Sequence[Path] = (),
    allow_plugins: bool = False,
    data_dir: Path | None = None,
) -> tuple[Suite, Plugins]:
    """Read a suite, and load the plugins that are installed, given, or named by the suite.

    Plugins are code: if a suite outside the current folder names some, this raises SuiteError
    unless `allow_plugins`.
    """
    plugins = load_plugins(plugin_files, data_dir)
    suite = read_suite(find_suite(name_or_path, plugins.suite_folders))
    if not suite.plugins:
        return suite, plugins
    if not allow_plugins and not suite.path.resolve().is_relative_to(Path.cwd()):
        raise SuiteError(
            f"{suite.place}: plugins: runs code of {', '.join(map(str, suite.plugins))} and lies "
            "outside the current directory; allow it with --allow-plugins"
        )
    files = dict.fromkeys([*(file.resolve() for file in plugin_files), *suite.plugins])
    return suite, load_plugins(list(files), data_dir)


def find_suite(name_or_path: str | Path, folders: Iterable[Path]) -> Path:
    """The file of a suite, given by its path or by its name in one of the folders. Raises
    SuiteError if there is none, or if several folders have the name."""
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
    """Suite name -> the files of that name in all folders."""
    known: dict[str, list[Path]] = {}
    for folder in dict.fromkeys(folders):
        for file in sorted(folder.glob("*.toml")):
            known.setdefault(file.stem, []).append(file)
    return known


def read_suite(path: str | Path) -> Suite:
    """Read a suite file and check its form. Raises a one-line SuiteError that names file and
    key."""
    path = Path(path)
    return _checked(*read_toml(path, SuiteError, brief_path(path)), path)


def parse_suite(text: str, path: Path = Path("suite.toml")) -> Suite:
    """Parse the text of a suite, as if it were the file `path`, and check its form. Raises
    SuiteError, and what `parse_toml` raises."""
    return _checked(parse_toml(text), text, path)


def _checked(data: Any, text: str, path: Path) -> Suite:
    try:
        suite = _read(data)
        plugins = []
        for index, name in enumerate(suite.plugin_names):
            file = path.parent / name
            if not _is_file(file):
                found = f"found {shown(name)}, no file {shown(str(file))}"
                raise SuiteError(f"plugins[{index}]: {found}")
            plugins.append(file.resolve())
    except ValidationError as error:
        raise SuiteError(f"{brief_path(path)}: {complaint(error, SuiteFile)}") from None
    except SuiteError as error:
        raise SuiteError(f"{brief_path(path)}: {error}") from None
    except RecursionError:
        raise SuiteError(f"{brief_path(path)}: nested too deeply") from None
    return Suite(**vars(suite), path=path, text=text, plugins=tuple(plugins))


_FORM = TypeAdapter(SuiteFile)


def _read(data: dict[str, Any]) -> SuiteFile:
    found = data.get("schema")
    if found is None:
        raise SuiteError(f"schema: missing; write schema = {SCHEMA}")
    if type(found) is not int:
        raise SuiteError(f"schema: expected the number {SCHEMA}, found {shown(found)}")
    if found != SCHEMA:
        advice = "install a newer one" if found > SCHEMA else f"write schema = {SCHEMA}"
        raise SuiteError(f"schema: found {shown(found)}; this sparsebench reads {SCHEMA}: {advice}")
    suite = _FORM.validate_python(data)
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
    given = (*suite.grid, *(suite.cases[0] if suite.cases else ()))
    for key in REQUIRED:
        if key not in suite.trial and not any(axis.partition(".")[0] == key for axis in given):
            raise SuiteError(f"trial.{key}: missing; it is required")
    return suite


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
