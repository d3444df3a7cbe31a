"""A suite: which trials to run, and which published statements they test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Where = Mapping[str, Any]
"""Which trials: a value per key; see `where.matches`."""


@dataclass(frozen=True)
class Exclude:
    """Trials of the grid that are not to be run, and why: those at `where`, but for those that
    also lie at `unless`."""

    where: Where
    reason: str = ""
    unless: Where | None = None


@dataclass(frozen=True)
class Expect:
    """Trials whose failure is itself the finding."""

    where: Where
    status: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published statement about a metric of the trials `where`.

    It compares with the trials `against`, or with the published `value` (its standard
    deviation `std` over `n` runs where the source gives them).
    """

    text: str
    metric: str
    where: Where
    against: Where | None = None
    value: float | None = None
    std: float | None = None
    n: int | None = None
    tolerance: float = 0.0
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite file as read: its form is checked, its components not yet.

    trial    what [trial] says, raw
    cases    values that go together, by dotted key: each is multiplied with the grid
    grid     dotted key -> values, one trial each
    quick    what --quick overrides: a list for a grid axis or `seed` replaces the axis, any
             other value sets the trial's value and removes the axis
    sources  data set name -> where to get a data set that no plugin brings
    """

    name: str
    trial: dict[str, Any]
    title: str = ""
    source: str = ""
    deviations: tuple[str, ...] = ()
    path: Path = Path("suite.toml")
    text: str = ""
    plugins: tuple[Path, ...] = ()
    cases: tuple[dict[str, Any], ...] = ()
    grid: dict[str, list[Any]] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    excludes: tuple[Exclude, ...] = ()
    expects: tuple[Expect, ...] = ()
    claims: tuple[Claim, ...] = ()
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """What a complaint about this suite starts with."""
        return brief_path(self.path)


def brief_path(path: Path) -> str:
    """A path below the current directory is named from there."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
