"""The claims of suites, judged by what their trials measured, with Holm's correction over all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsebench.analysis.evidence import (
    CELL,
    Evidence,
    evidence,
    families,
    groups,
    lies_at,
    outcome,
    suite_facts,
    trials_of,
)
from sparsebench.analysis.formats import join
from sparsebench.analysis.statistics import (
    Equivalence,
    Reproduction,
    Spread,
    against_published,
    from_zero,
    holm,
    welch,
)
from sparsebench.core.metric import Metric
from sparsebench.core.trial import canonical

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

FEW = 5
"""Least number of seeds that may show a measured metric to have no spread at all."""

OK, CLAIM_FAILED, NO_CLAIMS, INCONCLUSIVE = 0, 4, 5, 6

Claim = Mapping[str, Any]
"""A table of [[claims]], as in the suite stored with a run."""

Side = tuple[str, pd.DataFrame]
"""The labels of a cell, and its rows."""


class Holds(StrEnum):
    """The verdict on a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    CANNOT_TELL = "cannot tell"
    NOT_RUN = "not run"
    SHOWN = "not judged"  # a published time: another machine's


@dataclass(frozen=True)
class Judged:
    """A claim in one cell, or in one pair of cells.

    claim         as in the suite
    trials        the labels of the cell;  against  "published", or those of the second side
    ended, other_ended   how many trials of each side ended how: `3, 1 timeout`
    ours, other   means and spreads;  other  of the published value, or of the second side
    interval      at 90 %, of ours - other, which two one-sided tests at 5 % look at
    p_fails       of the test that ours is beyond the tolerance on the bad side
    """

    claim: Claim
    metric: Metric
    trials: str
    against: str
    ours: Spread
    other: Spread
    ended: str = ""
    other_ended: str = ""
    verdict: Holds = Holds.CANNOT_TELL
    reproduction: Reproduction = Reproduction.INCONCLUSIVE
    reason: str = ""
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_fails: float | None = None

    @property
    def text(self) -> str:
        return str(self.claim["text"])

    @property
    def source(self) -> str:
        return str(self.claim.get("source", ""))

    @property
    def tolerance(self) -> float:
        return float(self.claim.get("tolerance", 0.0))

    @property
    def published(self) -> bool:
        """Whether it is about a published value, and not about two sides."""
        return "against" not in self.claim

    @property
    def effect(self) -> float | None:
        found = self.ours.mean - self.other.mean
        return found if math.isfinite(found) else None


def check(run: StoredRun, alpha: float = 0.05) -> list[Judged]:
    """`judge` of one run."""
    return judge(evidence([run]), alpha)


def judge(seen: Evidence, alpha: float = 0.05) -> list[Judged]:
    """A row per claim and cell (or pair of cells); empty if no suite claims anything.

    A claim fails at a family-wise error of `alpha` over all rows (Holm). Exact ones need no test.
    """
    if alpha not in seen.judged:
        rows = list(_judged(seen, alpha))
        tested = [i for i, row in enumerate(rows) if row.p_fails is not None]
        for i, p in zip(tested, holm([rows[i].p_fails or 0.0 for i in tested])):
            if rows[i].verdict is Holds.CANNOT_TELL and p < alpha:
                rows[i] = replace(rows[i], verdict=Holds.FAILS, reason="")
        seen.judged[alpha] = rows
    return list(seen.judged[alpha])


def exit_code(rows: list[Judged]) -> int:
    if not rows:
        return NO_CLAIMS
    verdicts = {row.verdict for row in rows}
    if Holds.FAILS in verdicts:
        return CLAIM_FAILED
    return OK if Holds.HOLDS in verdicts else INCONCLUSIVE


def counts(rows: list[Judged]) -> dict[str, int]:
    """How many rows have each verdict, in the order of `Holds`."""
    found = Counter(row.verdict for row in rows)
    return {str(verdict): found[verdict] for verdict in Holds if found[verdict]}


# --- which trials a claim is about ---------------------------------------------------


def _judged(seen: Evidence, alpha: float) -> Iterator[Judged]:
    """Each claim once, over the rows of the runs whose suite makes it."""
    claims: dict[str, tuple[Claim, list[str]]] = {}
    for run in {run.id: run for run in seen.runs}.values():
        for claim in suite_facts(run).get("claims", ()):
            claims.setdefault(canonical(claim), (claim, []))[1].append(run.id)
    for claim, runs in claims.values():
        frame = seen.frame[seen.frame["run"].isin(runs)]
        metric = seen.metrics.declaration(str(claim["metric"]))
        if "against" in claim:
            for side, other in _pairs(seen, frame, claim):
                yield _two_sides(claim, metric, side, other, alpha)
        else:
            for side in _cells(_rows_at(seen, frame, claim["where"])):
                yield _published(claim, metric, side, alpha)


def _cells(frame: pd.DataFrame) -> Iterator[Side]:
    """By setting, topology and backend; one without rows if there are none."""
    if frame.empty:
        yield "", frame
    for labels, cell in groups(frame, CELL):
        yield join(*labels), cell


def _pairs(seen: Evidence, frame: pd.DataFrame, claim: Claim) -> Iterator[tuple[Side, Side]]:
    """Every cell of the one side with those of the other that are equal but for the keys that
    the claim names; with no rows where there is none."""
    keys = [*claim["where"], *claim["against"]]
    alike = pd.Series(families(seen, *keys), index=seen.frame.index)
    against = _rows_at(seen, frame, claim["against"])
    for label, cell in _cells(_rows_at(seen, frame, claim["where"])):
        same = alike[against.index].isin(alike[cell.index].unique())
        same &= against["apart"].isin(cell["apart"].unique())
        for other in _cells(against[same] if len(cell) else against):
            yield (label, cell), other


def _rows_at(seen: Evidence, frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    trials = dict(zip(seen.frame.index, trials_of(seen)))
    return frame.loc[[i for i in frame.index if lies_at(where, trials[i])]]


# --- verdicts ------------------------------------------------------------------------


def _published(claim: Claim, metric: Metric, side: Side, alpha: float) -> Judged:
    n = int(claim.get("n", 1))
    sd = float(claim["std"]) if n > 1 and "std" in claim else math.nan
    published = Spread(float(claim["value"]), sd, n)
    label, cell = side
    values = _values(cell, metric)
    ours = [*values.values()]
    row = Judged(
        claim, metric, label, "published", Spread.of(ours), published, _ended(cell, values)
    )
    if (stated := _without_test(row, cell, values)) is not None:
        return stated
    found = against_published(ours, published, row.tolerance)
    said = found.reproduction(metric.better > 0, alpha)
    return _tested(row, found, said, said in (Reproduction.REPRODUCED, Reproduction.BETTER))


def _two_sides(claim: Claim, metric: Metric, side: Side, other: Side, alpha: float) -> Judged:
    """Is the first side at least as good as the second, less the tolerance? Non-inferiority: one
    one-sided test, of pairs where both sides have the same seeds."""
    (label, cell), (other_label, other_cell) = side, other
    ours, theirs = _values(cell, metric), _values(other_cell, metric)
    mine, their = Spread.of(ours.values()), Spread.of(theirs.values())
    row = Judged(
        claim, metric, label, other_label, mine, their, _ended(cell, ours),
        _ended(other_cell, theirs),
    )  # fmt: skip
    for values, part in sorted([(ours, cell), (theirs, other_cell)], key=lambda one: len(one[0])):
        if (stated := _without_test(row, part, values)) is not None:
            return stated
    if ours.keys() == theirs.keys():
        difference = from_zero([ours[seed] - theirs[seed] for seed in ours], alpha=2 * alpha)
    else:
        difference = welch(mine, their, alpha=2 * alpha)
    found, more = Equivalence(difference, row.tolerance), metric.better > 0
    gain = difference.effect if more else -difference.effect
    p = float(gain < -row.tolerance)
    if difference.error:
        at = row.tolerance
        p = difference.p_above(-at) if more else difference.p_below(at)
    return replace(_tested(row, found, found.reproduction(more, alpha), p < alpha), p=p)


def _tested(row: Judged, found: Equivalence, said: Reproduction, good: bool) -> Judged:
    """The row with its numbers; that it fails is decided when all rows are there."""
    return replace(
        row,
        verdict=Holds.HOLDS if good else Holds.CANNOT_TELL,
        reproduction=said,
        interval=found.difference.interval,
        p=found.p,
        p_fails=found.p_worse(row.metric.better > 0),
        reason="" if good or row.tolerance else "the claim gives no tolerance",
    )


def _without_test(row: Judged, cell: pd.DataFrame, values: Mapping[int, float]) -> Judged | None:
    """The row where there is nothing to test; None where there is."""
    if not values:
        ended = outcome(cell) if len(cell) else "no trial"
        return replace(row, verdict=Holds.NOT_RUN, reproduction=Reproduction.NOT_RUN, reason=ended)
    if row.published and row.metric.is_time:
        why = "measured on another machine"
        if row.other.mean:
            why += f"; ours is {row.ours.mean / row.other.mean:.3g} times the published"
        return replace(row, verdict=Holds.SHOWN, reason=why)
    if row.metric.scale == "exact":  # counts have no spread to test
        effect = row.ours.mean - row.other.mean
        said = Reproduction.BETTER if effect * row.metric.better > 0 else Reproduction.WORSE
        if abs(effect) <= row.tolerance:
            said = Reproduction.REPRODUCED
        verdict = Holds.FAILS if said is Reproduction.WORSE else Holds.HOLDS
        return replace(row, verdict=verdict, reproduction=said)
    if len(values) < 2:
        return replace(row, reason="1 seed; a spread needs two")
    if len(values) < FEW and len({*values.values()}) == 1:
        why = f"all {len(values)} seeds gave the same value: too few to believe in no spread"
        return replace(row, reason=why)
    return None


def _values(cell: pd.DataFrame, metric: Metric) -> dict[int, float]:
    """By seed, of the trials that ended well; none where no trial measured it."""
    if cell.empty or metric.name not in cell:
        return {}
    known = cell[cell["ok"]].sort_values("seed")
    values = zip(known["seed"], known[metric.name].astype(float))
    return {int(seed): value for seed, value in values if math.isfinite(value)}


def _ended(cell: pd.DataFrame, values: Mapping[int, float]) -> str:
    return join(len(values) or "", outcome(cell)) if len(cell) else "no trial"
