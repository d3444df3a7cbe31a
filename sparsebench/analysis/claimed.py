"""The claims of a suite, and the trials that each of them is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sparsebench.analysis.evidence import CELL, Evidence, suite_facts
from sparsebench.analysis.families import families, trials_of
from sparsebench.analysis.formats import escape
from sparsebench.analysis.groups import groups
from sparsebench.core.trial import canonical
from sparsebench.errors import SuiteError
from sparsebench.suite.where import matches

Claim = Mapping[str, Any]
"""A table of [[claims]], as the suite stored with a run has it."""

Side = tuple[str, pd.DataFrame]
"""A cell in words, and its rows."""


def claims(evidence: Evidence) -> Iterator[tuple[Claim, pd.DataFrame]]:
    """Each claim once, with the rows of the runs whose suite makes it."""
    found: dict[str, tuple[Claim, list[str]]] = {}
    for run in {run.id: run for run in evidence.runs}.values():
        for claim in suite_facts(run).get("claims", ()):
            found.setdefault(canonical(claim), (claim, []))[1].append(run.id)
    for claim, runs in found.values():
        yield claim, evidence.frame[evidence.frame["run"].isin(runs)]


def cells_of(frame: pd.DataFrame) -> Iterator[Side]:
    """By setting, topology and backend; one without rows if there are none."""
    if frame.empty:
        yield "", frame
    for labels, cell in groups(frame, CELL) if not frame.empty else ():
        yield ", ".join(escape(label) for label in labels if label), cell


def pairs_of(evidence: Evidence, frame: pd.DataFrame, claim: Claim) -> Iterator[tuple[Side, Side]]:
    """Every cell of the one side with those of the other that are equal but for the keys that
    the claim names; with no rows where there is none."""
    named = [*claim["where"], *claim["against"]]
    alike = pd.Series(families(evidence, *named), index=evidence.frame.index)
    other_side = rows_at(evidence, frame, claim["against"])
    for label, cell in cells_of(rows_at(evidence, frame, claim["where"])):
        mine = alike[cell.index].unique()
        same = alike[other_side.index].isin(mine) & other_side["apart"].isin(cell["apart"].unique())
        for other in cells_of(other_side[same] if len(cell) else other_side):
            yield (label, cell), other


def rows_at(evidence: Evidence, frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose trials lie there."""
    trials = dict(zip(evidence.frame.index, trials_of(evidence)))
    try:
        return frame[[matches(where, trials[i]) for i in frame.index]]
    except SuiteError:
        return frame[:0]
