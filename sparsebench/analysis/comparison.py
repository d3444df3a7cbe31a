"""Compares two runs, BASE and HEAD, cell by cell, with a verdict for each metric.

A cell is all trials that differ only in seed and fold; replicates are its seeds, or pairs of seed
and round if the two sides ran in turn. p-values are corrected by Holm over all cells in which a
metric is tested. How much counts as a change is in `gates`; the default thresholds and floors are
those of each metric in `sparsebench.metrics`. scipy is imported only if there is something to test.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sparsebench.analysis.comparison_notes import notes_on
from sparsebench.analysis.comparison_sides import (
    MUST_AGREE,
    Cell,
    Replicate,
    Side,
    nearest_difference,
)
from sparsebench.analysis.gates import Gate, Gates
from sparsebench.analysis.statistics import Difference, Spread, from_zero, holm, welch
from sparsebench.core.metric import Metric
from sparsebench.errors import GateError, NothingMatched

OK, GATE_FAILED, INCONCLUSIVE = 0, 3, 6


class Verdict(StrEnum):
    WORSE = "worse"  # beyond the gate, and not by chance
    BETTER = "better"  # as far the other way, and not by chance
    SAME = "same"  # not a bit of difference
    OK = "ok"  # worse than the gate allows is ruled out
    BELOW_FLOOR = "below the floor"  # beyond the threshold, and smaller than what matters
    DIFFERENT = "different"  # must be equal, is not, and neither is better
    CANNOT_TELL = "cannot tell"
    NOT_COMPARABLE = "not comparable"
    NEWLY_FAILING = "newly failing"
    NEWLY_PASSING = "newly passing"
    NEW = "new"  # a cell that only HEAD has
    REMOVED = "removed"  # a cell that only BASE has


BAD = frozenset({Verdict.WORSE, Verdict.DIFFERENT, Verdict.NEWLY_FAILING})
UNDECIDED = frozenset({Verdict.CANNOT_TELL, Verdict.NOT_COMPARABLE})
DECIDED = frozenset({*BAD, Verdict.BETTER, Verdict.SAME, Verdict.OK, Verdict.BELOW_FLOOR,
                     Verdict.NEWLY_PASSING})  # fmt: skip

STATUS = "status"
"""The metric's name in findings on whether trials ended well."""


@dataclass(frozen=True)
class Finding:
    """The verdict on one metric of one cell.

    cell, label  the cell's id and its name for people
    metric       a metric's name, or STATUS for a finding on how the cell's trials ended
    gate         the metric's gate; None for STATUS
    base, head   values of each side by replicate, in the same order
    p_holm       p-value of the change, adjusted over the cells of the metric
    detectable   the smallest change that could have been detected, as `effect`, if there is no
                 verdict
    missing      about how many more replicates would decide it; None if unknown
    """

    cell: str
    label: str
    metric: str
    verdict: Verdict
    gate: Gate | None = None
    reason: str = ""
    base: Mapping[Replicate, float] = field(default_factory=dict)
    head: Mapping[Replicate, float] = field(default_factory=dict)
    difference: Difference | None = None
    p_holm: float | None = None
    detectable: float | None = None
    missing: int | None = None

    @property
    def enforced(self) -> bool:
        """Whether a bad verdict on this fails the comparison instead of only warning."""
        return self.gate is None or self.gate.action == "fail"

    @property
    def fails(self) -> bool:
        return self.verdict in BAD and self.enforced

    @property
    def is_ratio(self) -> bool:
        """Whether the difference is computed from logarithms and shown as a relative change."""
        return self.gate is not None and self.gate.metric.scale == "ratio"

    @property
    def effect(self) -> float | None:
        """The change from BASE to HEAD: relative (0.05 is 5 % more) if `is_ratio`, else in the
        metric's unit. None if it is not known."""
        if self.difference is not None:
            return self.shown(self.difference.effect)
        if not self.base or not self.head:
            return None
        base, head = (Spread.of(one.values()).mean for one in (self.base, self.head))
        if self.is_ratio:
            return head / base - 1 if base else None
        return head - base

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.difference is None:
            return None
        low, high = self.difference.interval
        return self.shown(low), self.shown(high)

    @property
    def n(self) -> int:
        """The number of replicates: pairs of seeds or rounds, or the smaller number of seeds if the
        two sides have none in common."""
        return min(len(self.base), len(self.head))

    @property
    def replicates(self) -> str:
        """The unit of `n`."""
        rounds = any(isinstance(key, tuple) for key in self.head or self.base)
        return "pairs" if rounds else "seeds"

    def shown(self, value: float) -> float:
        """A difference as it is shown: if `is_ratio`, the relative change that corresponds to a
        difference of logarithms; else unchanged."""
        return math.expm1(min(value, 700.0)) if self.is_ratio else value

    def paired_differences(self) -> list[float]:
        """Head - base for each replicate, of logarithms for ratios; exactly 0 for equal values."""
        pairs = [(self.base[key], self.head[key]) for key in self.base]
        if self.is_ratio:
            return [0.0 if a == b else math.log(b / a) for a, b in pairs]
        return [b - a for a, b in pairs]


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two sides.

    findings  in the order of HEAD's cells, followed by cells that only BASE has
    notes     further sentences for the reader
    """

    base: Side
    head: Side
    gates: Gates
    findings: list[Finding]
    notes: list[str]

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.fails]

    @property
    def undecided(self) -> list[Finding]:
        """The findings that could fail the comparison and could not be decided."""
        return [one for one in self.findings if one.verdict in UNDECIDED and one.enforced]

    @property
    def gates_used(self) -> list[Gate]:
        """The gates as the findings used them; a metric has two if memory was measured exactly in
        some cells only. One that no finding used is as it was given."""
        used: dict[str, dict[float, Gate]] = {gate.name: {} for gate in self.gates}
        for one in self.findings:
            if one.gate is not None:
                used[one.metric].setdefault(one.gate.floor, one.gate)
        return [gate for given in self.gates for gate in used[given.name].values() or [given]]

    @property
    def stopped(self) -> bool:
        """Whether the sides ran in turn and were stopped before the last pair."""
        pairs = self.head.pairs
        return pairs is not None and pairs.complete < pairs.planned

    @property
    def removed(self) -> int:
        """The number of cells of BASE that HEAD does not have."""
        return sum(one.verdict is Verdict.REMOVED for one in self.findings)

    @property
    def exit_code(self) -> int:
        """3 if a gate failed; 6 if no gate could be decided, or with `strict` not every gate on all
        planned pairs and all cells of BASE; else 0."""
        if self.failures:
            return GATE_FAILED
        decided = any(
            one.enforced and one.verdict in DECIDED
            # that a cell fails on both sides decides nothing
            and not (one.metric == STATUS and one.verdict is Verdict.SAME)
            for one in self.findings
        )  # fmt: skip
        if not decided or (self.gates.strict and (self.undecided or self.stopped or self.removed)):
            return INCONCLUSIVE
        return OK

    def counts(self) -> dict[str, int]:
        found = Counter(finding.verdict for finding in self.findings)
        return {str(verdict): found[verdict] for verdict in Verdict if found[verdict]}


def compare(base: Side, head: Side, gates: Gates) -> Comparison:
    """Compare two sides. Raises NothingMatched if they have no cell in common, and GateError for a
    gate that the user named if none of these cells has values of its metric on both sides."""
    if not base.cells.keys() & head.cells.keys():
        sizes = f"{len(base.cells)} cells of BASE and {len(head.cells)} of HEAD have none in common"
        raise NothingMatched("; ".join(filter(None, [sizes, nearest_difference(base, head)])))
    _check_named(base, head, gates)
    findings: list[Finding] = []
    for cell in dict.fromkeys([*head.cells, *base.cells]):
        findings += _findings(cell, base, head, gates)
    for gate in gates:
        at = [i for i, one in enumerate(findings) if one.metric == gate.name and _awaits_test(one)]
        tested = {i: _measured(findings[i], gates.alpha) for i in at}
        ps = {i: one.difference.p for i, one in tested.items() if one.difference is not None}
        for i, p in zip(ps, holm([*ps.values()])):
            tested[i] = _judged(tested[i], p, gates.alpha, len(ps))
        for i, one in tested.items():
            findings[i] = one
    return Comparison(base, head, gates, findings, [*notes_on(base, head)])


def _awaits_test(finding: Finding) -> bool:
    return finding.verdict is Verdict.CANNOT_TELL and not finding.reason


# --- what is decided before any test -------------------------------------------------


def _check_named(base: Side, head: Side, gates: Gates) -> None:
    """Raise GateError for a named gate that would decide nothing, with the metrics that would."""
    cells = [(base.cells[cell], head.cells[cell]) for cell in base.cells if cell in head.cells]
    pairs = [(ours, theirs) for ours, theirs in cells if ours.ok and theirs.ok]

    def measured(metric: Metric, *sides: int) -> bool:
        return any(all(pair[side].values(metric) for side in sides) for pair in pairs)

    for name in sorted(gates.named) if pairs else ():
        metric = gates.by_metric[name].metric
        if measured(metric, 0, 1):
            continue
        there = measured(metric, 0), measured(metric, 1)
        who = {
            (False, False): "neither side has a value of it",
            (False, True): "BASE has no value of it",
            (True, False): "HEAD has no value of it",
            (True, True): "none has values of it on both",
        }[there]
        both = [m.name for m in (base.metrics | head.metrics).of_trials() if measured(m, 0, 1)]
        raise GateError(
            f"gate {name!r}: in the cells of both, {who}, so it can decide nothing. "
            f"Both have: {', '.join(sorted(both)) or 'none'}"
        )


def _findings(cell: str, base_side: Side, head_side: Side, gates: Gates) -> Iterator[Finding]:
    """Yield a finding for each metric with a gate; and one for STATUS if a side lacks the cell, if
    trials did not end well, or if the sides cannot be compared."""
    base, head = base_side.cells.get(cell), head_side.cells.get(cell)
    if base is None or head is None:
        present, there = (base, head_side) if base is not None else (head, base_side)
        assert present is not None
        verdict = Verdict.REMOVED if base is not None else Verdict.NEW
        reason = present.outcome()
        if any(record.trial.id in there.missing for record in present.records):
            verdict = Verdict.CANNOT_TELL
            reason = f"{'BASE' if there is base_side else 'HEAD'} has not run it yet"
        yield Finding(cell, present.label, STATUS, verdict, reason=reason)
        return
    lacking = any(
        record.trial.id in other.missing
        for one, other in ((base, head_side), (head, base_side))
        for record in one.ok.values()
    )
    if (outcome := _outcome(base, head, lacking)) is not None:
        yield Finding(cell, head.label, STATUS, outcome[0], reason=outcome[1])
    if not base.ok or not head.ok:
        return
    apart = base.disagreements(head)
    if everything := [phrase for name, phrase in apart.items() if MUST_AGREE[name] == "all"]:
        reason = "; ".join(everything)
        yield Finding(cell, head.label, STATUS, Verdict.NOT_COMPARABLE, reason=reason)
        return
    exact = base.exact_memory and head.exact_memory
    for given in gates:
        gate = given.for_exact_memory() if exact else given
        theirs, ours = base.values(gate.metric), head.values(gate.metric)
        found = Finding(
            cell, head.label, gate.name, Verdict.CANNOT_TELL, gate, base=theirs, head=ours
        )
        if gate.metric.is_time and apart and (theirs or ours):
            spoiled = "; ".join(apart.values())
            yield replace(found, verdict=Verdict.NOT_COMPARABLE, reason=spoiled)
        elif theirs and ours:
            yield _metric(found, gate, base, head, gates)
        elif theirs or ours:
            yield replace(found, reason=f"{'HEAD' if theirs else 'BASE'} has no value")


def _outcome(base: Cell, head: Cell, lacking: bool) -> tuple[Verdict, str] | None:
    """The verdict on trials that did not end well, and its reason; None if all ended well."""
    both = f"{base.outcome()} against {head.outcome()}"
    if base.ok and head.failed.keys() - base.failed.keys():
        first = next(iter(head.failed.values()))
        detail = " ".join((first.detail or first.cause).split())[:100]
        return Verdict.NEWLY_FAILING, f"{both}: {detail}" if detail else both
    if (base.failed.keys() & head.ok.keys()) or (base.failed and head.ok and not head.failed):
        return Verdict.NEWLY_PASSING, both
    if not (base.ok and head.ok):
        both_failed = base.failed and head.failed
        return Verdict.SAME if both_failed else Verdict.CANNOT_TELL, both
    if lacking or base.not_run or head.not_run:
        return Verdict.CANNOT_TELL, f"not every seed ran: {both}"
    return None


def _metric(found: Finding, gate: Gate, base: Cell, head: Cell, gates: Gates) -> Finding:
    """The finding with its verdict; or with CANNOT_TELL and no reason if it still has to be
    tested."""
    common = [key for key in found.base if key in found.head]
    if common or found.replicates == "pairs":  # means of other seeds or rounds are no change
        kept = [{key: one[key] for key in common} for one in (found.base, found.head)]
        found = replace(found, base=kept[0], head=kept[1])
    if gate.exact:
        return _exactly(found)
    if found.base == found.head and found.n >= 2:
        return _measured(replace(found, verdict=Verdict.SAME), gates.alpha)
    if found.n < gates.min_seeds:
        few = f"{found.n} of at least {gates.min_seeds} {found.replicates}"
        return replace(found, reason=few, missing=gates.min_seeds - found.n)
    if gate.metric.is_time and found.replicates == "seeds":
        # a disturbance may have hit only one side, and an interval over seeds does not show that
        sides = [(name, one.disturbed()) for name, one in (("BASE", base), ("HEAD", head))]
        if marked := "; ".join(f"{name}: {words}" for name, words in sides if words):
            why = f"disturbed, and not in turn ({marked})"
            return _measured(replace(found, reason=why), gates.alpha)
    return found


def _exactly(finding: Finding) -> Finding:
    """The finding with a verdict, for a metric that must be equal for equal seeds."""
    base, head = finding.base, finding.head
    common = [key for key in base if key in head]
    pairs = [(base[key], head[key]) for key in common]
    if not common:
        both = set(base.values()), set(head.values())
        if not all(len(one) == 1 for one in both):
            why = "it depends on the seed, and no seed is on both sides"
            return replace(finding, verdict=Verdict.CANNOT_TELL, reason=why)
        pairs = [(both[0].pop(), both[1].pop())]
    changed = [(a, b) for a, b in pairs if a != b]
    if not changed:
        return replace(finding, verdict=Verdict.SAME)
    better = finding.gate.metric.better if finding.gate is not None else 0
    gains = {math.copysign(1, b - a) * better for a, b in changed}
    verdict = Verdict.BETTER if gains == {1.0} else Verdict.WORSE if better else Verdict.DIFFERENT
    of = f"at {len(changed)} of {len(pairs)} {finding.replicates}" if common else "at every seed"
    return replace(finding, verdict=verdict, reason=f"not equal {of}")


# --- tests ---------------------------------------------------------------------------


def _measured(finding: Finding, alpha: float) -> Finding:
    """The finding with the difference of the two sides, which have two seeds or more: paired if
    they have seeds in common, else by Welch's test; of logarithms for ratios."""
    base, head = finding.base, finding.head
    if finding.is_ratio and min([*base.values(), *head.values()]) <= 0 and base != head:
        why = "a value is 0, so there is no ratio"
        return replace(finding, verdict=Verdict.CANNOT_TELL, reason=why)
    if base.keys() == head.keys():
        return replace(finding, difference=from_zero(finding.paired_differences(), alpha))
    scale = math.log if finding.is_ratio else float
    ours, theirs = (Spread.of(map(scale, one.values())) for one in (head, base))
    return replace(finding, difference=welch(ours, theirs, alpha))


def _judged(finding: Finding, p_holm: float, alpha: float, family: int) -> Finding:
    """The finding with a verdict, given the adjusted p-value and the number of cells in the family.

    Worse: the change exceeds the gate's threshold and floor, and the adjusted p is below alpha. Ok:
    the interval of the change does not reach the gate. Otherwise there is no verdict, and the
    finding says which change could have been detected.
    """
    found, gate = finding.difference, finding.gate
    assert found is not None
    assert gate is not None
    finding = replace(finding, p_holm=p_holm)
    if found.is_zero:
        return replace(finding, verdict=Verdict.SAME)
    mean = Spread.of(finding.base.values()).mean
    bad = good = gate.margin(mean)
    if finding.is_ratio:  # in logarithms, 5 % more is +log 1.05 and 5 % less is -log 0.95
        more, less = math.log1p(bad / mean), -math.log1p(-min(bad / mean, 1 - 1e-12))
        bad, good = (less, more) if gate.metric.better > 0 else (more, less)
    sign = -gate.metric.better or 1
    harm = sign * found.effect
    worst = max(sign * end for end in found.interval)
    if p_holm < alpha and harm > bad:
        return replace(finding, verdict=Verdict.WORSE)
    if p_holm < alpha and -harm > good:
        return replace(finding, verdict=Verdict.BETTER)
    if worst < bad or (worst <= 0 and bad == 0):
        share = found.effect if finding.is_ratio else found.effect / abs(mean or 1.0)
        beyond = gate.threshold > 0 and sign * finding.shown(share) > gate.threshold
        return replace(finding, verdict=Verdict.BELOW_FLOOR if beyond else Verdict.OK)
    least = found.detectable(alpha / family)
    missing = _missing(finding.n, worst - harm, abs(bad - harm))
    return replace(
        finding,
        verdict=Verdict.CANNOT_TELL,
        detectable=finding.shown(least),
        missing=missing,
    )


def _missing(n: int, half: float, needed: float) -> int | None:
    """About how many more replicates would shrink the half-width of an interval to `needed`; it
    shrinks with the square root of their number. None if there would be unreasonably many."""
    if not (half > 0 and needed > half / 10):
        return None
    return max(1, math.ceil(n * (half / needed) ** 2) - n)
