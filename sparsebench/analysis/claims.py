"""Judges the claims of suites by the measurements of their trials, with Holm's correction over all
claims.

A claim is about one side, or compares two (`claim_sides`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import pandas as pd

from sparsebench.analysis.chance import beats_chance
from sparsebench.analysis.claim_sides import Claim, Side, rows_at, side_cells, side_pairs
from sparsebench.analysis.number_format import join, plural, ratio, sentence_list
from sparsebench.analysis.report_data import (
    ReportData,
    differences,
    outcome,
    report_data,
    suite_facts,
)
from sparsebench.analysis.statistics import (
    Difference,
    Equivalence,
    Interval,
    Reproduction,
    Spread,
    against_published,
    from_folds,
    from_zero,
    holm,
    welch,
)
from sparsebench.core.metric import Metric
from sparsebench.core.trial import canonical
from sparsebench.metrics import PRIMARY
from sparsebench.suite.suite import VERDICT_SEEDS

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

ERROR_RATE = 0.05
"""The probability that any verdict of a report is wrong, at most; see `judge`."""

EQUAL = 1e-9
"""Differences whose spread, relative to the values, is below this are equal except for rounding."""

OK, CLAIM_FAILED, NO_CLAIMS, INCONCLUSIVE = 0, 4, 5, 6


class Holds(StrEnum):
    """The verdict on a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    CANNOT_TELL = "cannot tell"
    TOO_FEW = "too few seeds"  # both numbers are shown, nothing is tested
    NOT_RUN = "not run"  # no trial gave a number, or none of what the claim requires
    SHOWN = "not judged"  # published time or memory: another machine's


class Test(StrEnum):
    """The kind of test. Its margin is the claim's tolerance."""

    NON_INFERIORITY = "non-inferiority"  # at least as good, less the margin
    SUPERIORITY = "superiority"  # better: the margin is 0
    EQUIVALENCE = "equivalence"  # within the margin, of a metric that has no better side
    COUNT = "count"  # a number without spread, compared


@dataclass(frozen=True)
class Judged:
    """A claim judged for one cell, or for one pair of cells.

    claim         the claim's table in the suite
    trials        labels of the cell
    against       "published", or the labels of the second cell
    ended, other_ended   how the trials of each side ended: `3, 1 timeout`
    ours          mean and spread of the cell
    other         mean and spread of the published value, or of the second cell
    reason        why there is no verdict, or what the verdict assumes
    difference    ours - other, if it was tested
    interval      interval of ours - other at `level`; it excludes the margin if the test is
                  significant
    p_holds, p_fails   p-values that it holds and that it fails, before correction; NaN: not tested
    p             corrected p-value of the verdict: that the claim fails if it does, else that it
                  holds
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
    difference: Difference | None = None
    p_holds: float = math.nan
    p_fails: float = math.nan
    interval: Interval | None = None
    level: float = math.nan
    p: float | None = None

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
        """Whether the claim is about a published value, and not about two sides."""
        return "against" not in self.claim

    @property
    def test(self) -> Test:
        if self.metric.scale == "exact":
            return Test.COUNT
        if not self.metric.better:
            return Test.EQUIVALENCE
        return Test.NON_INFERIORITY if self.tolerance else Test.SUPERIORITY

    @property
    def effect(self) -> float | None:
        found = self.ours.mean - self.other.mean
        return found if math.isfinite(found) else None


def check(run: StoredRun) -> list[Judged]:
    """Judge the claims of one run."""
    return judge(report_data([run]))


def judge(seen: ReportData) -> list[Judged]:
    """Judge all claims. Returns a row per claim and cell (or pair of cells); empty without claims.

    The family-wise error rate over all tested rows is `ERROR_RATE` (Holm). Counts need no test.
    """
    if not seen.judged:
        seen.judged.extend(_decided(list(_judged(seen))))
    return list(seen.judged)


def exit_code(rows: list[Judged]) -> int:
    if not rows:
        return NO_CLAIMS
    verdicts = {row.verdict for row in rows}
    if Holds.FAILS in verdicts:
        return CLAIM_FAILED
    return OK if Holds.HOLDS in verdicts else INCONCLUSIVE


def counts(rows: list[Judged]) -> dict[str, int]:
    """The number of rows with each verdict, in the order of `Holds`."""
    found = Counter(row.verdict for row in rows)
    return {str(verdict): found[verdict] for verdict in Holds if found[verdict]}


# --- the rows of each claim -----------------------------------------------------------


def _judged(seen: ReportData) -> Iterator[Judged]:
    """Yield the rows of each claim; each uses only trials of runs whose suite makes the claim."""
    claims: dict[str, tuple[Claim, list[str]]] = {}
    for run in {run.id: run for run in seen.runs}.values():
        for claim in suite_facts(run).get("claims", ()):
            claims.setdefault(canonical(claim), (claim, []))[1].append(run.id)
    for claim, runs in claims.values():
        frame = seen.frame[seen.frame["run"].isin(runs)]
        metric = seen.metrics.declaration(str(claim["metric"]))
        if "against" in claim:
            second = seen.metrics.declaration(str(claim.get("against_metric", metric.name)))
            for side, other in side_pairs(seen, frame, claim):
                row = _two_sides(claim, metric, second, side, other)
                yield _as_required(seen, row, side, other)
        else:
            for side in side_cells(rows_at(seen, frame, claim["where"])):
                yield _as_required(seen, _published(claim, metric, side), side)


def _as_required(seen: ReportData, row: Judged, *sides: Side) -> Judged:
    """The row; or with the verdict "not run", and the difference as its reason, if its trials are
    not as the claim requires. One trial per cell is checked, because a claim cannot require a
    seed."""
    required, unmet = row.claim.get("requires") or {}, []
    for _, cell in sides:
        for record in seen.records_of(cell.head(1)):
            unmet += [
                f"{key} is {found} where the claim needs {wanted}"
                for key, found, wanted in differences(required, record.trial)
            ]
    if not unmet:
        return row
    return replace(
        row, verdict=Holds.NOT_RUN, reproduction=Reproduction.NOT_RUN, difference=None,
        reason="; ".join(dict.fromkeys(unmet)),
    )  # fmt: skip


# --- what there is to test -----------------------------------------------------------


def _published(claim: Claim, metric: Metric, side: Side) -> Judged:
    """Compare a cell with a published value. If the source gives no spread, the spread of our seeds
    is used instead, because a single published run varies too."""
    runs = int(claim.get("n", 1))
    sd = float(claim["std"]) if runs > 1 and "std" in claim else math.nan
    label, cell = side
    values = _values(cell, metric)
    ours = [*values.values()]
    row = Judged(
        claim, metric, label, "published", Spread.of(ours),
        Spread(float(claim["value"]), sd, runs), _ended(cell, values),
    )  # fmt: skip
    if (stated := _without_test(row, (cell, values))) is not None:
        return stated
    found = against_published(ours, row.other, row.tolerance)
    supposed = ""
    if math.isnan(sd):
        of = "one published seed" if runs == 1 else f"{runs} published seeds"
        supposed = f"the spread of {of} is not known: that of ours stands in for it"
    return _to_test(row, found.difference, len(ours), max(map(abs, ours)), supposed)


def _two_sides(claim: Claim, metric: Metric, second: Metric, side: Side, other: Side) -> Judged:
    """Compare the cells of two sides: pair by pair if both have the same seeds, and for folds by
    the folds that both have.

    second  the metric of the second side
    """
    (label, cell), (other_label, other_cell) = side, other
    if second != metric and len(other_cell):
        other_label = join(other_label, second.name)
    ours, theirs = _values(cell, metric), _values(other_cell, second)
    folds = int(cell["folds"].max()) if len(cell) else 0
    if folds and len(common := ours.keys() & theirs.keys()) >= VERDICT_SEEDS:
        ours, theirs = ({one: side[one] for one in sorted(common)} for side in (ours, theirs))
    mine, their = Spread.of(ours.values()), Spread.of(theirs.values())
    row = Judged(
        claim, metric, label, other_label, mine, their, _ended(cell, ours),
        _ended(other_cell, theirs),
    )  # fmt: skip
    if (stated := _without_test(row, (cell, ours), (other_cell, theirs))) is not None:
        return stated
    if ours.keys() == theirs.keys():
        pairs = [ours[one] - theirs[one] for one in ours]
        difference = from_folds(pairs, folds) if folds else from_zero(pairs)
    else:
        difference = welch(mine, their)
    size = max(abs(value) for side in (ours, theirs) for value in side.values())
    return _to_test(row, difference, min(len(ours), len(theirs)), size)


def _to_test(
    row: Judged, difference: Difference, seeds: int, size: float, supposed: str = ""
) -> Judged:
    """The row with the p-values that the claim holds and that it fails. If all differences are
    equal, they have no spread; then no p-value is below that of the sign test."""
    if difference.error * math.sqrt(seeds) <= EQUAL * size:
        difference = replace(difference, least=0.5**seeds)
        equal = f"all {seeds} seeds differ by the same: the p is that of the sign test"
        supposed = _both(supposed, equal)
    found, more = Equivalence(difference, row.tolerance), row.metric.better > 0
    holds, fails = found.p_not_worse(more), found.p_worse(more)
    if row.test is Test.EQUIVALENCE:
        holds, fails = found.p, min(1.0, 2 * min(found.p_worse(True), found.p_worse(False)))
    return replace(row, difference=difference, reason=supposed, p_holds=holds, p_fails=fails)


def _without_test(row: Judged, *sides: tuple[pd.DataFrame, Mapping[int, float]]) -> Judged | None:
    """The finished row if it can be judged without a test; else None."""
    for cell, values in sides:
        if not values:
            ended = outcome(cell) if len(cell) else "no trial"
            return replace(
                row, verdict=Holds.NOT_RUN, reproduction=Reproduction.NOT_RUN, reason=ended
            )
    if row.published and (row.metric.is_time or row.metric.unit == "bytes"):
        return replace(row, verdict=Holds.SHOWN, reason=on_another_machine(row))
    if row.metric.scale == "exact":  # counts have no spread to test
        effect = row.ours.mean - row.other.mean
        said = Reproduction.BETTER if effect * row.metric.better > 0 else Reproduction.WORSE
        if abs(effect) <= row.tolerance:
            said = Reproduction.REPRODUCED
        verdict = Holds.FAILS if said is Reproduction.WORSE else Holds.HOLDS
        return replace(row, verdict=verdict, reproduction=said)
    seeds = min(len(values) for _, values in sides)
    cells = [cell for cell, _ in sides]
    if seeds < VERDICT_SEEDS:
        what = "fold" if cells[0]["folds"].any() else "seed"
        why = f"{plural(seeds, what)}, and a verdict needs {VERDICT_SEEDS}: compared only"
        return replace(row, verdict=Holds.TOO_FEW, reason=why)
    if row.metric.is_time and (disturbed := _disturbed(*cells)):
        return replace(row, reason=disturbed)
    if row.metric.name == PRIMARY and all(beats_chance(cell) is False for cell in cells):
        return replace(row, reason="no side is shown to beat chance: compared only")
    return None


def on_another_machine(row: Judged) -> str:
    """A phrase that compares time or memory with those of another machine: `257 times as fast, on
    another machine and data generated to the same shape`."""
    also = str(row.claim.get("conditions", ""))
    return f"{compared(row)}, on another machine{' and ' * bool(also)}{also}"


def compared(row: Judged) -> str:
    """The ratio of ours to the other in words: `12 times as fast`, `2.3 times as long`, `41 % of
    it`; empty if there is no ratio."""
    ours, other = row.ours.mean, row.other.mean
    if not (ours > 0 and other > 0):
        return ""
    less, more = other / ours, ours / other
    if row.metric.is_time:
        faster = less if row.metric.better < 0 else more
        if faster >= 1:
            return f"{ratio(faster)} times as fast"
        return f"{ratio(1 / faster)} times as {'long' if row.metric.better < 0 else 'slow'}"
    memory = " memory" if row.metric.unit == "bytes" else ""
    if more >= 1:
        return f"{ratio(more)} times as much{memory}"
    return f"{ratio(100 * more)} % of {'the' + memory if memory else 'it'}"


def _disturbed(*cells: pd.DataFrame) -> str:
    """Why the times of these trials cannot be used for a verdict; empty if they can."""
    known = [cell[cell["ok"]] for cell in cells]
    marks = [str(words) for cell in known for words in cell["noise"] if words]
    if not marks:
        return ""
    kinds = sentence_list(list(dict.fromkeys(word for words in marks for word in words.split())))
    of = plural(sum(map(len, known)), "trial")
    return f"{len(marks)} of {of} ran while the machine was disturbed ({kinds}): compared only"


# --- verdicts ------------------------------------------------------------------------


def _decided(rows: list[Judged]) -> list[Judged]:
    """Add the verdicts to the rows. A test can find only one of its two answers (holds or fails),
    and only one can be wrong, so each row counts once in Holm's family."""
    tested = [i for i, row in enumerate(rows) if row.difference is not None]
    least = [min(rows[i].p_holds, rows[i].p_fails) for i in tested]
    for i, p, adjusted in zip(tested, least, holm(least)):
        rows[i] = _verdict(rows[i], adjusted / p if p else float(len(tested)))
    return rows


def _verdict(row: Judged, factor: float) -> Judged:
    """Decide one row.

    factor  the factor by which Holm's correction multiplies the row's p; its interval leaves
            ERROR_RATE / factor on each side
    """
    assert row.difference is not None
    each = ERROR_RATE / factor
    holds, fails = row.p_holds < each, row.p_fails < each
    found = Equivalence(replace(row.difference, alpha=2 * each), row.tolerance)
    verdict = Holds.HOLDS if holds else Holds.FAILS if fails else Holds.CANNOT_TELL
    lacking = "" if row.tolerance or holds or fails else "the claim gives no tolerance"
    if row.tolerance and not fails and _shown_worse(found.difference.interval, row.metric.better):
        lacking = (
            "shown to be worse, by less than the tolerance" if holds
            else "shown to be worse; whether by more than the tolerance is not shown"
        )  # fmt: skip
    return replace(
        row,
        verdict=verdict,
        reproduction=found.reproduction(row.metric.better >= 0, each),
        interval=found.difference.interval,
        level=1 - 2 * each,
        p=min(1.0, (row.p_fails if fails else row.p_holds) * factor),
        reason=_both(row.reason, lacking),
    )


def _shown_worse(interval: Interval, better: int) -> bool:
    """Whether all of an interval of differences is on the worse side of 0."""
    return interval[1] < 0 if better > 0 else interval[0] > 0 if better < 0 else False


def _both(first: str, second: str) -> str:
    return "; ".join(filter(None, [first, second]))


def _values(cell: pd.DataFrame, metric: Metric) -> dict[int, float]:
    """The metric's values of the successful trials by replicate; empty if none measured it."""
    if cell.empty or metric.name not in cell:
        return {}
    known = cell[cell["ok"]].sort_values("replicate")
    values = zip(known["replicate"], known[metric.name].astype(float))
    return {int(number): value for number, value in values if math.isfinite(value)}


def _ended(cell: pd.DataFrame, values: Mapping[int, float]) -> str:
    return join(len(values) or "", outcome(cell)) if len(cell) else "no trial"
