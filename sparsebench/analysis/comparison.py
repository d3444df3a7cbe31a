"""Two runs, cell by cell and metric by metric: what got worse, what got better, what nobody
can tell. The light part of it is here; statistics are imported when there is something to test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sparsebench.analysis.gates import Gate, Gates
from sparsebench.analysis.sides import (
    SPOILED_BY,
    Cell,
    Side,
    disagreements,
    nearest_difference,
    noisy,
    same_records,
)
from sparsebench.analysis.statistics import holm
from sparsebench.analysis.verdicts import (
    DECIDED,
    STATUS,
    UNDECIDED,
    Finding,
    Verdict,
    exactly,
    in_pairs,
    judged,
    measured,
)
from sparsebench.errors import NothingMatched

OK, GATE_FAILED, INCONCLUSIVE = 0, 3, 6


@dataclass(frozen=True)
class Comparison:
    """findings  in the order of HEAD's cells, then those that only BASE has
    notes     what a reader should know beside them, in sentences
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
        """Of what could fail the comparison, what could not be decided."""
        return [one for one in self.findings if one.verdict in UNDECIDED and _enforced(one)]

    @property
    def exit_code(self) -> int:
        """3 if a gate failed; 6 if none could be decided, or strictly not all; else 0."""
        if self.failures:
            return GATE_FAILED
        decided = any(_is_decided(one) and _enforced(one) for one in self.findings)
        if not decided or (self.gates.strict and self.undecided):
            return INCONCLUSIVE
        return OK

    def counts(self) -> dict[str, int]:
        found = Counter(finding.verdict for finding in self.findings)
        return {str(verdict): found[verdict] for verdict in Verdict if found[verdict]}


def compare(base: Side, head: Side, gates: Gates) -> Comparison:
    """NothingMatched if the two sides have no cell in common."""
    if not base.cells.keys() & head.cells.keys():
        raise NothingMatched(_nothing_in_common(base, head))
    findings: list[Finding] = []
    for cell in dict.fromkeys([*head.cells, *base.cells]):
        findings += _cell(cell, base, head, gates)
    return Comparison(base, head, gates, _tested(findings, gates), _notes(base, head))


def _nothing_in_common(base: Side, head: Side) -> str:
    told = f"{len(base.cells)} cells of BASE and {len(head.cells)} of HEAD have none in common"
    return "; ".join(filter(None, [told, nearest_difference(base, head)]))


def _cell(cell: str, base: Side, head: Side, gates: Gates) -> Iterator[Finding]:
    theirs, ours = base.cells.get(cell), head.cells.get(cell)
    if theirs is None or ours is None:
        yield _one_sided(cell, base, head)
        return
    yield from _outcomes(cell, theirs, ours, base, head)
    if not theirs.ok or not ours.ok:
        return
    apart = disagreements(theirs, ours)
    everything = [phrase for name, phrase in apart if SPOILED_BY[name] == "all"]
    if everything:
        why = "; ".join(everything)
        yield Finding(cell, ours.label, STATUS, Verdict.NOT_COMPARABLE, reason=why)
        return
    for gate in gates:
        spoiling = [phrase for _, phrase in apart if gate.metric.is_time]
        yield from _metric(cell, theirs, ours, gate, spoiling, gates.min_seeds)


def _one_sided(cell: str, base: Side, head: Side) -> Finding:
    """New or removed; or planned on the side that has no record of it."""
    here, there = (head, base) if cell in head.cells else (base, head)
    found = here.cells[cell]
    trials = [r.trial.id for k in (found.ok, found.failed, found.not_run) for r in k.values()]
    if any(trial in there.missing for trial in trials):
        why = f"{'BASE' if there is base else 'HEAD'} has not run it yet"
        return Finding(cell, found.label, STATUS, Verdict.CANNOT_TELL, reason=why)
    verdict = Verdict.NEW if here is head else Verdict.REMOVED
    return Finding(cell, found.label, STATUS, verdict, reason=found.outcome())


def _outcomes(cell: str, base: Cell, head: Cell, base_side: Side, head_side: Side) -> list[Finding]:
    """What is to be said of trials that did not end well; nothing where all did."""

    def found(verdict: Verdict, reason: str) -> list[Finding]:
        return [Finding(cell, head.label, STATUS, verdict, reason=reason)]

    told = f"{base.outcome()} against {head.outcome()}"
    if base.ok and head.failed.keys() - base.failed.keys():
        return found(Verdict.NEWLY_FAILING, f"{told}{_details(head)}")
    if (base.failed.keys() & head.ok.keys()) or (base.failed and head.ok and not head.failed):
        return found(Verdict.NEWLY_PASSING, told)
    if not (base.ok and head.ok):
        both_failed = base.failed and head.failed
        return found(Verdict.SAME if both_failed else Verdict.CANNOT_TELL, told)
    lacking = _lacking(base, head_side) + _lacking(head, base_side)
    if lacking or base.not_run or head.not_run:
        return found(Verdict.CANNOT_TELL, f"not every seed ran: {told}")
    return []


def _lacking(cell: Cell, other: Side) -> int:
    """Trials of the cell that the other side planned and has no record of."""
    return sum(record.trial.id in other.missing for record in cell.ok.values())


def _details(cell: Cell) -> str:
    first = next(iter(cell.failed.values()))
    detail = " ".join((first.detail or first.cause).split())
    return f": {detail[:100]}" if detail else ""


def _metric(
    cell: str, base: Cell, head: Cell, gate: Gate, spoiling: Iterable[str], min_seeds: int
) -> Iterator[Finding]:
    """A finding still to be tested, or one that is decided already; none where neither side
    has the metric."""
    theirs, ours = base.values(gate.metric), head.values(gate.metric)
    if not theirs and not ours:
        return
    pending = in_pairs(
        Finding(cell, head.label, gate.name, Verdict.CANNOT_TELL, gate, base=theirs, head=ours)
    )
    why = "; ".join(spoiling)
    if why:
        yield replace(pending, verdict=Verdict.NOT_COMPARABLE, reason=why)
    elif not theirs or not ours:
        yield replace(pending, reason=f"{'HEAD' if theirs else 'BASE'} has no value")
    elif gate.exact:
        yield exactly(pending)
    elif pending.base == pending.head and pending.n >= 2:
        yield measured(replace(pending, verdict=Verdict.SAME), 0.05)
    elif pending.n < min_seeds:
        few = f"{pending.n} of at least {min_seeds} {pending.replicates}"
        yield replace(pending, reason=few)
    elif gate.metric.is_time and pending.replicates == "seeds" and (why := _disturbed(base, head)):
        yield measured(replace(pending, reason=why), 0.05)
    else:
        yield pending


def _disturbed(base: Cell, head: Cell) -> str:
    """Why times that were not measured in turn cannot be told apart: what disturbed one side need
    not have met the other, and no interval over seeds knows of it."""
    told = [(name, one.disturbed()) for name, one in (("BASE", base), ("HEAD", head))]
    marked = "; ".join(f"{name}: {words}" for name, words in told if words)
    return f"disturbed, and not in turn ({marked})" if marked else ""


def _tested(findings: list[Finding], gates: Gates) -> list[Finding]:
    """Every finding that awaits a test, tested, with Holm's correction within its metric."""
    done = list(findings)
    for gate in gates:
        family = []
        for i, finding in enumerate(findings):
            if finding.gate is gate and _awaits_test(finding):
                done[i] = measured(finding, gates.alpha)
                if done[i].difference is not None:
                    family.append(i)
        adjusted = holm([_p(done[i]) for i in family])
        for i, p in zip(family, adjusted):
            done[i] = judged(done[i], p, gates.alpha, len(family))
    return done


def _awaits_test(finding: Finding) -> bool:
    return finding.verdict is Verdict.CANNOT_TELL and not finding.reason


def _p(finding: Finding) -> float:
    assert finding.difference is not None
    return finding.difference.p


def _is_decided(finding: Finding) -> bool:
    """That a cell fails on both sides decides nothing."""
    both_fail = finding.metric == STATUS and finding.verdict is Verdict.SAME
    return finding.verdict in DECIDED and not both_fail


def _enforced(finding: Finding) -> bool:
    return finding.gate is None or finding.gate.action == "fail"


def _notes(base: Side, head: Side) -> list[str]:
    notes = []
    reused = same_records(base, head)
    if reused:
        notes.append(f"{reused} records are the same attempt on both sides: reused, not run again")
    for name, one in (("BASE", base), ("HEAD", head)):
        marks = ", ".join(f"{count} {mark}" for mark, count in noisy(one).items())
        if marks:
            notes.append(f"the machine was disturbed while trials of {name} ran: {marks}")
        if one.missing:
            notes.append(f"{name} is not complete: {len(one.missing)} trials have no record")
    return notes
