"""What is found in a store that is looked at: damage, or what a killed process leaves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

RESTORE = "restore it from a copy, or delete the attempt's folder and run its suite again"
RESTORE_RUN = "restore it from a copy, or delete the run's folder; its trials stay"
ASIDE = "move it out of the store"
NO_LINKS = "put what it points to in its place"


@dataclass(frozen=True)
class Finding:
    """severity  damage, or note: harmless, left by a process that was killed
    path      in the store
    next      what to do about it; empty if nothing needs to be done
    """

    severity: Literal["damage", "note"]
    path: str
    what: str
    next: str = ""


@dataclass
class Verdict:
    """What was looked at, and what was found."""

    store: Path
    checked: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def damaged(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "damage"]

    def damage(self, path: Path, what: str, do: str) -> None:
        self._add("damage", path, what, do)

    def note(self, path: Path, what: str, do: str = "") -> None:
        self._add("note", path, what, do)

    def _add(self, severity: Literal["damage", "note"], path: Path, what: str, do: str) -> None:
        what = what.removeprefix(f"{path} ").removeprefix(f"{path}: ")
        self.findings.append(Finding(severity, str(path.relative_to(self.store)), what, do))
