"""What a suite claims, held against what its trials measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from sparsebench.analysis.claimed import Claim, cells_of, claims, pairs_of, rows_at
from sparsebench.analysis.equivalence import (
    Equivalence,
    Reproduction,
    against_mean,
    against_sample,
    tost,
    word,
)
from sparsebench.analysis.evidence import Evidence, evidence
from sparsebench.analysis.groups import outcome
from sparsebench.analysis.statistics import Summary, from_zero, holm, summary, welch
from sparsebench.core.metric import Metric

if TYPE_CHECKING:
    import pandas as pd

    from sparsebench.store.store import StoredRun

FEW = 5
"""Seeds from which on it is believed that a measured metric has no spread at all."""

OK, CLAIM_FAILED, NO_CLAIMS, INCONCLUSIVE = 0, 4, 5, 6


class Holds(StrEnum):
    """What becomes of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    CANNOT_TELL = "cannot tell"
    NOT_RUN = "not run"
    SHOWN = "not judged"  # a published time: another machine's


@dataclass(frozen=True)
class Judged:
    """A claim in one cell, or in one pair of cells.

    claim         as the suite has it
    ended, other_ended   how many trials of each side ended how: `3, 1 timeout`
    ours, other   means and spreads;  other  of the published value, or of the second side
    low, high     the 90 % interval of ours - other, which two one-sided tests at 5 % look at
    p_fails       of the test that ours is beyond the tolerance on the bad side
    """

    text: str
    metric: Metric
    source: str
    tolerance: float
    trials: str
    against: str
    ours: Summary
    other: Summary
    verdict: Holds
    word: Reproduction
    claim: Claim
    ended: str = ""
    other_ended: str = ""
    reason: str = ""
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_fails: float | None = None

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

    That a claim fails is said at a family-wise error of `alpha` over all rows (Holm).
    """
    if alpha not in seen.judged:
        seen.judged[alpha] = _judge(seen, alpha)
    return list(seen.judged[alpha])


def _judge(seen: Evidence, alpha: float) -> list[Judged]:
    rows: list[Judged] = []
    for claim, frame in claims(seen):
        metric = seen.metrics.declaration(str(claim["metric"]))
        if "against" in claim:
            for (label, ours), (other_label, theirs) in pairs_of(seen, frame, claim):
                rows.append(_two_sides(claim, metric, label, ours, other_label, theirs, alpha))
        else:
            for label, ours in cells_of(rows_at(seen, frame, claim["where"])):
                rows.append(_published(claim, metric, label, ours, alpha))
    return _corrected(rows, alpha)


def exit_code(rows: list[Judged]) -> int:
    if not rows:
        return NO_CLAIMS
    verdicts = {row.verdict for row in rows}
    if Holds.FAILS in verdicts:
        return CLAIM_FAILED
    return OK if Holds.HOLDS in verdicts else INCONCLUSIVE


def _published(
    claim: Claim, metric: Metric, label: str, cell: pd.DataFrame, alpha: float
) -> Judged:
    n = int(claim.get("n", 1))
    sd = float(claim["std"]) if n > 1 and "std" in claim else math.nan
    published = Summary(float(claim["value"]), sd, n, math.nan, math.nan)
    values = _values(cell, metric)
    row = replace(
        _row(claim, metric, label, "published", summary([*values.values()]), published),
        ended=_ended(cell, values),
    )
    stated = _not_judged(row, cell, values)
    if stated is not None:
        return stated
    if metric.scale == "exact":
        return _exactly(row)
    if not math.isnan(sd):
        found = against_sample([*values.values()], published, row.tolerance)
    else:
        found = against_mean([*values.values()], published.mean, row.tolerance)
    said = word(found, metric.better > 0, alpha)
    return _with(row, found, said, _good(said))


def _two_sides(
    claim: Claim,
    metric: Metric,
    label: str,
    cell: pd.DataFrame,
    other_label: str,
    other: pd.DataFrame,
    alpha: float,
) -> Judged:
    """Is the first side at least as good as the second, less the tolerance? Non-inferiority: one
    one-sided test, of pairs where both sides have the same seeds."""
    ours, theirs = _values(cell, metric), _values(other, metric)
    mine, other_side = (summary([*side.values()]) for side in (ours, theirs))
    row = replace(
        _row(claim, metric, label, other_label, mine, other_side),
        ended=_ended(cell, ours),
        other_ended=_ended(other, theirs),
    )
    fewest_first = sorted([(cell, ours), (other, theirs)], key=lambda side: len(side[1]))
    stated = next(filter(None, (_not_judged(row, *side) for side in fewest_first)), None)
    if stated is not None:
        return stated
    if metric.scale == "exact":
        return _exactly(row, at_least=True)
    if ours.keys() == theirs.keys():
        difference = from_zero([ours[seed] - theirs[seed] for seed in ours], alpha=2 * alpha)
    else:
        difference = welch([*theirs.values()], [*ours.values()], alpha=2 * alpha)
    found = tost(difference, row.tolerance)
    more = metric.better > 0
    said = word(found, more, alpha)
    p_good = (
        (difference.p_above(-row.tolerance) if more else difference.p_below(row.tolerance))
        if difference.error
        else float(not _within(difference.effect, row.tolerance, more))
    )
    return replace(_with(row, found, said, p_good < alpha), p=p_good)


def _with(row: Judged, found: Equivalence, said: Reproduction, good: bool) -> Judged:
    """The numbers and the verdict; that it fails is decided when all rows are there."""
    difference = found.difference
    more = row.metric.better > 0
    return replace(
        row,
        verdict=Holds.HOLDS if good else Holds.CANNOT_TELL,
        word=said,
        low=difference.low,
        high=difference.high,
        p=found.p,
        p_fails=found.p_lower if more else found.p_higher,
        reason="" if good or row.tolerance else "the claim gives no tolerance",
    )


def _corrected(rows: list[Judged], alpha: float) -> list[Judged]:
    """Claims fail at a family-wise error of alpha; what was exact has failed already."""
    tested = [i for i, row in enumerate(rows) if row.p_fails is not None]
    adjusted = dict(zip(tested, holm([rows[i].p_fails or 0.0 for i in tested])))
    return [
        replace(row, verdict=Holds.FAILS, reason="")
        if row.verdict is Holds.CANNOT_TELL and adjusted.get(i, 1.0) < alpha
        else row
        for i, row in enumerate(rows)
    ]


def _not_judged(row: Judged, cell: pd.DataFrame, values: Mapping[int, float]) -> Judged | None:
    """The row where there is nothing to test; None where there is."""
    if not values:
        ended = outcome(cell) if len(cell) else "no trial"
        return replace(row, verdict=Holds.NOT_RUN, word=Reproduction.NOT_RUN, reason=ended)
    if row.against == "published" and row.metric.is_time:
        why = "measured on another machine"
        if row.other.mean:
            why += f"; ours is {row.ours.mean / row.other.mean:.3g} times the published"
        return replace(row, verdict=Holds.SHOWN, reason=why)
    if row.metric.scale == "exact":
        return None
    told = ""
    if len(values) < 2:
        told = "1 seed; a spread needs two"
    elif len(values) < FEW and len({*values.values()}) == 1:
        told = f"all {len(values)} seeds gave the same value: too few to believe in no spread"
    return replace(row, reason=told) if told else None


def _exactly(row: Judged, *, at_least: bool = False) -> Judged:
    """Counts have no spread to test: within the tolerance, or not."""
    effect = row.ours.mean - row.other.mean
    better = row.metric.better
    good = abs(effect) <= row.tolerance or (at_least and effect * better > 0)
    said = Reproduction.REPRODUCED if abs(effect) <= row.tolerance else Reproduction.WORSE
    if said is Reproduction.WORSE and effect * better > 0:
        said = Reproduction.BETTER
    verdict = Holds.HOLDS if good or said is Reproduction.BETTER else Holds.FAILS
    return replace(row, verdict=verdict, word=said)


def _good(said: Reproduction) -> bool:
    return said in (Reproduction.REPRODUCED, Reproduction.BETTER)


def _within(effect: float, tolerance: float, more_is_better: bool) -> bool:
    return (effect if more_is_better else -effect) >= -tolerance


def _values(cell: pd.DataFrame, metric: Metric) -> dict[int, float]:
    """By seed, of the trials that ended well; none where no trial measured it."""
    name = metric.name
    if cell.empty or name not in cell:
        return {}
    known = cell[cell["ok"] & cell[name].notna()].sort_values("seed")
    return {int(s): float(v) for s, v in zip(known["seed"], known[name]) if math.isfinite(v)}


def _ended(cell: pd.DataFrame, values: Mapping[int, float]) -> str:
    if cell.empty:
        return "no trial"
    return ", ".join(filter(None, [str(len(values)) if values else "", outcome(cell)]))


def _row(
    claim: Claim, metric: Metric, label: str, against: str, ours: Summary, other: Summary
) -> Judged:
    return Judged(
        text=str(claim["text"]),
        metric=metric,
        source=str(claim.get("source", "")),
        tolerance=float(claim.get("tolerance", 0.0)),
        trials=label,
        against=against,
        ours=ours,
        other=other,
        verdict=Holds.CANNOT_TELL,
        word=Reproduction.INCONCLUSIVE,
        claim=claim,
    )


def counts(rows: list[Judged]) -> Iterator[tuple[str, int]]:
    for verdict in Holds:
        n = sum(row.verdict is verdict for row in rows)
        if n:
            yield str(verdict), n
