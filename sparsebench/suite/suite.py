"""A suite: which trials to run, and which published statements they test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationInfo, with_config
from typing_extensions import TypedDict

from sparsebench.core.status import Status
from sparsebench.core.trial import PARTS
from sparsebench.errors import SuiteError, nearest
from sparsebench.suite.trial_values import PLAIN, TRIAL_KEYS
from sparsebench.suite.where import check_key
from sparsebench.validation import check_plain, quoted, shown

FORBID: Any = {"extra": "forbid", "allow_inf_nan": False}

Where = Mapping[str, Any]
"""Which trials: a value per key; see `where.matches`."""


def _name(found: str) -> str:
    word = found.replace(".", "").replace("_", "").replace("-", "")
    if not (found[:1].isalnum() and word.isalnum() and found.isascii() and len(found) <= 100):
        raise ValueError(f"found {shown(found)}; use letters, digits, '.', '_' and '-'")
    return found


def _overrides(table: dict[str, Any], known: Sequence[str] = TRIAL_KEYS) -> dict[str, Any]:
    """Checks that the keys are those of trials, and the values plain."""
    for key, value in table.items():
        try:
            check_key(key, known)
        except SuiteError as error:
            raise ValueError(f".{quoted(key)}: {error}") from None
        check_plain(value, f".{quoted(key)}")
    return table


def _selector(table: dict[str, Any]) -> dict[str, Any]:
    return _overrides(table, (*PARTS, *PLAIN, "prune"))


def _trial(table: dict[str, Any]) -> dict[str, Any]:
    for key, value in table.items():
        if key not in TRIAL_KEYS:
            raise ValueError(f".{quoted(key)}: unknown key.{nearest(key, TRIAL_KEYS)}")
        check_plain(value, f".{key}")
    return table


def _grid(table: dict[str, Any]) -> dict[str, Any]:
    _overrides(dict.fromkeys(table, 0))
    for key, values in table.items():
        check_axis(values, f".{quoted(key)}")
    return table


def check_axis(values: object, where: str) -> None:
    """ValueError unless `values` is a list of one or more plain values."""
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
    return claim


Tables = BeforeValidator(_tables)
Selector = Annotated[dict[str, Any], AfterValidator(_selector)]
Texts = Annotated[tuple[str, ...], Field(description="a list of texts")]
Count = Annotated[int, Strict(), Field(gt=0, description="a whole number above 0")]
Number = Annotated[float, Strict(), Field(gt=-1e300, lt=1e300, description="a finite number")]
AtLeast0 = Annotated[float, Strict(), Field(ge=0, lt=1e300, description="a number, 0 or more")]


@dataclass(frozen=True)
class Exclude:
    """Trials of the grid that are not to be run, and why: those at `where`, but for those that
    also lie at `unless`."""

    __pydantic_config__: ClassVar[Any] = FORBID

    where: Selector
    reason: str = ""
    unless: Selector | None = None


@dataclass(frozen=True)
class Expect:
    """Trials whose failure is itself the finding."""

    __pydantic_config__: ClassVar[Any] = FORBID

    where: Selector
    status: Annotated[str, AfterValidator(_status)]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published statement about a metric of the trials `where`.

    It compares with the trials `against`, or with the published `value` (its standard
    deviation `std` over `n` runs where the source gives them).
    """

    __pydantic_config__: ClassVar[Any] = FORBID

    text: str
    metric: str
    where: Selector
    against: Selector | None = None
    value: Number | None = None
    std: AtLeast0 | None = None
    n: Count | None = None
    tolerance: AtLeast0 = 0.0
    source: str = ""


@with_config(FORBID)
class Source(TypedDict, total=False):
    """Where to get a data set that no plugin brings; `train` rows of it are for training."""

    openml: str
    note: str
    train: Count


@dataclass(frozen=True, kw_only=True)
class SuiteFile:
    """The tables of a suite file: their form is checked, their components not yet.

    trial    what [trial] says, raw
    cases    values that go together, by dotted key: each is multiplied with the grid
    grid     dotted key -> values, one trial each
    quick    what --quick overrides: a list for a grid axis or `seed` replaces the axis, any
             other value sets the trial's value and removes the axis
    sources  data set name -> where to get a data set that no plugin brings
    """

    __pydantic_config__: ClassVar[Any] = FORBID

    schema: int = 1
    name: Annotated[str, AfterValidator(_name)]
    title: str = ""
    source: str = ""
    deviations: Texts = ()
    plugin_names: Annotated[Texts, Field(alias="plugins")] = ()
    trial: Annotated[dict[str, Any], AfterValidator(_trial)]
    cases: Annotated[
        tuple[Annotated[dict[str, Any], AfterValidator(_overrides)], ...],
        Field(alias="case"),
        Tables,
    ] = ()
    grid: Annotated[dict[str, Any], AfterValidator(_grid)] = field(default_factory=dict)
    quick: Annotated[dict[str, Any], AfterValidator(_overrides)] = field(default_factory=dict)
    excludes: Annotated[tuple[Exclude, ...], Field(alias="exclude"), Tables] = ()
    expects: Annotated[tuple[Expect, ...], Field(alias="expect"), Tables] = ()
    claims: Annotated[tuple[Annotated[Claim, AfterValidator(_against_or_value)], ...], Tables] = ()
    sources: dict[str, Annotated[Source, AfterValidator(_source)]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Suite(SuiteFile):
    """A suite as it was read: its file, and the files of its plugins."""

    path: Path = Path("suite.toml")
    text: str = ""
    plugins: tuple[Path, ...] = ()

    @property
    def place(self) -> str:
        """The file's name for messages about this suite."""
        return brief_path(self.path)


def brief_path(path: Path) -> str:
    """A path below the current directory, relative to it; any other as it is."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):
        return str(path)
