"""One metric of one cell: from the values of both sides to a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sparsebench.analysis.gates import Gate
from sparsebench.analysis.sides import Replicate
from sparsebench.analysis.statistics import Difference, from_zero, mean_of, welch


class Verdict(StrEnum):
    WORSE = "worse"  # beyond the gate, and not by chance
    BETTER = "better"  # as far the other way, and not by chance
    SAME = "same"  # not a bit of difference
    OK = "ok"  # worse than the gate allows is ruled out
    DIFFERENT = "different"  # must be equal, is not, and neither is better
    CANNOT_TELL = "cannot tell"
    NOT_COMPARABLE = "not comparable"
    NEWLY_FAILING = "newly failing"
    NEWLY_PASSING = "newly passing"
    NEW = "new"  # a cell that only HEAD has
    REMOVED = "removed"  # a cell that only BASE has


BAD = frozenset({Verdict.WORSE, Verdict.DIFFERENT, Verdict.NEWLY_FAILING})
UNDECIDED = frozenset({Verdict.CANNOT_TELL, Verdict.NOT_COMPARABLE})
DECIDED = frozenset({*BAD, Verdict.BETTER, Verdict.SAME, Verdict.OK, Verdict.NEWLY_PASSING})

STATUS = "status"
"""In place of the metric where a finding is about whether trials ended well."""


@dataclass(frozen=True)
class Finding:
    """The verdict on a metric of a cell.

    effect, interval   the change: a share for ratios, else in the metric's unit
    p_holm             p of the change, adjusted within the metric's family of cells
    detectable         the least change that would have been seen, where none can be told
    base, head         values by replicate, in the same order on both sides
    n                  seeds (pairs of seeds where paired), or pairs of a seed's rounds
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

    @property
    def enforced(self) -> bool:
        """Whether a bad verdict fails the comparison."""
        return self.gate is None or self.gate.action == "fail"

    @property
    def fails(self) -> bool:
        return self.verdict in BAD and self.enforced

    @property
    def is_ratio(self) -> bool:
        return self.gate is not None and self.gate.metric.scale == "ratio"

    @property
    def effect(self) -> float | None:
        if self.difference is not None:
            return self.shown(self.difference.effect)
        if not self.base or not self.head:
            return None
        base, head = mean_of([*self.base.values()]), mean_of([*self.head.values()])
        if self.is_ratio:
            return head / base - 1 if base else None
        return head - base

    @property
    def interval(self) -> tuple[float, float] | None:
        found = self.difference
        return None if found is None else (self.shown(found.low), self.shown(found.high))

    @property
    def n(self) -> int:
        """Seeds, or pairs of seeds; of two sides that differ in them, the fewer."""
        return min(len(self.base), len(self.head))

    @property
    def replicates(self) -> str:
        """The unit of `n`."""
        rounds = any(isinstance(key, tuple) for key in self.head or self.base)
        return "pairs" if rounds else "seeds"

    def shown(self, value: float) -> float:
        """A difference of logarithms as a share."""
        return math.expm1(min(value, 700.0)) if self.is_ratio else value


def in_pairs(finding: Finding) -> Finding:
    """Of rounds, only those that both sides have: a pair cancels slow drifts of the machine."""
    base, head = finding.base, finding.head
    if finding.replicates == "seeds" or base.keys() == head.keys():
        return finding
    common = [key for key in base if key in head]
    return replace(
        finding, base={key: base[key] for key in common}, head={key: head[key] for key in common}
    )


def exactly(finding: Finding) -> Finding:
    """The verdict on a metric that is the same for the same seed."""
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


def measured(finding: Finding, alpha: float) -> Finding:
    """With the difference of the two sides: paired where they have the same seeds, else Welch;
    of logarithms for ratios. Both sides have two seeds or more."""
    base, head = finding.base, finding.head
    if finding.is_ratio and min([*base.values(), *head.values()]) <= 0 and base != head:
        why = "a value is 0, so there is no ratio"
        return replace(finding, verdict=Verdict.CANNOT_TELL, reason=why)
    if base.keys() == head.keys():
        return replace(finding, difference=from_zero(paired_differences(finding), alpha))
    scale = math.log if finding.is_ratio else float
    sides = ([scale(v) for v in base.values()], [scale(v) for v in head.values()])
    return replace(finding, difference=welch(*sides, alpha))


def paired_differences(finding: Finding) -> list[float]:
    """Head - base by replicate, of logarithms for ratios; exactly 0 for equal values."""
    pairs = [(finding.base[key], finding.head[key]) for key in finding.base]
    if finding.is_ratio:
        return [0.0 if a == b else math.log(b / a) for a, b in pairs]
    return [b - a for a, b in pairs]


def judged(finding: Finding, p_holm: float, alpha: float, family: int) -> Finding:
    """The verdict on a measured metric, given its p adjusted in a family of so many cells.

    Worse: beyond the gate's threshold and floor, and the adjusted p below alpha. Ok: the interval
    ends before the gate. Otherwise nothing can be told, and the finding says which change would
    have been seen.
    """
    found, gate = finding.difference, finding.gate
    assert found is not None
    assert gate is not None
    finding = replace(finding, p_holm=p_holm)
    if found.is_zero:
        return replace(finding, verdict=Verdict.SAME)
    bad, good = margins(gate, mean_of([*finding.base.values()]), finding.is_ratio)
    sign = -gate.metric.better or 1
    harm = sign * found.effect
    worst = max(sign * found.low, sign * found.high)
    if p_holm < alpha and harm > bad:
        return replace(finding, verdict=Verdict.WORSE)
    if p_holm < alpha and -harm > good:
        return replace(finding, verdict=Verdict.BETTER)
    if worst < bad or (worst <= 0 and bad == 0):
        return replace(finding, verdict=Verdict.OK)
    least = found.detectable(alpha / family)
    return replace(finding, verdict=Verdict.CANNOT_TELL, detectable=finding.shown(least))


def margins(gate: Gate, base: float, is_ratio: bool) -> tuple[float, float]:
    """How far the difference may go to the bad side, and to the good side; both positive.

    A ratio's are logarithms: 5 % more is +log 1.05, 5 % less is -log 0.95.
    """
    amount = gate.margin(base)
    if not is_ratio:
        return amount, amount
    more = math.log1p(amount / base)
    less = -math.log1p(-min(amount / base, 1 - 1e-12))
    return (less, more) if gate.metric.better > 0 else (more, less)
