"""Two runs, cell by cell and metric by metric: what got worse, what got better, what cannot be
told. Statistics are imported when there is something to test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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
    notes     sentences for the reader, beside the findings
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
    def exit_code(self) -> int:
        """3 if a gate failed; 6 if none could be decided, or strictly not all; else 0."""
        if self.failures:
            return GATE_FAILED
        decided = any(
            one.enforced and one.verdict in DECIDED
            # that a cell fails on both sides decides nothing
            and not (one.metric == STATUS and one.verdict is Verdict.SAME)
            for one in self.findings
        )  # fmt: skip
        if not decided or (self.gates.strict and self.undecided):
            return INCONCLUSIVE
        return OK

    def counts(self) -> dict[str, int]:
        found = Counter(finding.verdict for finding in self.findings)
        return {str(verdict): found[verdict] for verdict in Verdict if found[verdict]}


def compare(base: Side, head: Side, gates: Gates) -> Comparison:
    """NothingMatched if the two sides have no cell in common."""
    if not base.cells.keys() & head.cells.keys():
        sizes = f"{len(base.cells)} cells of BASE and {len(head.cells)} of HEAD have none in common"
        difference = nearest_difference(base, head)
        raise NothingMatched("; ".join(filter(None, [sizes, difference])))
    findings: list[Finding] = []
    for cell in dict.fromkeys([*head.cells, *base.cells]):
        findings += _cell(cell, base, head, gates)
    return Comparison(base, head, gates, _tested(findings, gates), _notes(base, head))


def _cell(cell: str, base: Side, head: Side, gates: Gates) -> Iterator[Finding]:
    theirs, ours = base.cells.get(cell), head.cells.get(cell)
    if theirs is None or ours is None:
        yield _one_sided(cell, base, head)
        return
    if (found := _outcome(theirs, ours, base, head)) is not None:
        yield Finding(cell, ours.label, STATUS, *found)
    if not theirs.ok or not ours.ok:
        return
    apart = disagreements(theirs, ours)
    everything = "; ".join(phrase for name, phrase in apart if SPOILED_BY[name] == "all")
    if everything:
        yield Finding(cell, ours.label, STATUS, Verdict.NOT_COMPARABLE, reason=everything)
        return
    for gate in gates:
        spoiling = [phrase for _, phrase in apart if gate.metric.is_time]
        yield from _metric(cell, theirs, ours, gate, "; ".join(spoiling), gates.min_seeds)


def _one_sided(cell: str, base: Side, head: Side) -> Finding:
    """New or removed; or planned on the side that has no record of it."""
    here, there = (head, base) if cell in head.cells else (base, head)
    found = here.cells[cell]
    if any(record.trial.id in there.missing for record in found.records):
        why = f"{'BASE' if there is base else 'HEAD'} has not run it yet"
        return Finding(cell, found.label, STATUS, Verdict.CANNOT_TELL, reason=why)
    verdict = Verdict.NEW if here is head else Verdict.REMOVED
    return Finding(cell, found.label, STATUS, verdict, reason=found.outcome())


def _outcome(
    base: Cell, head: Cell, base_side: Side, head_side: Side
) -> tuple[Verdict, None, str] | None:
    """The verdict on trials that did not end well, no gate, and the reason; None where all did."""
    both = f"{base.outcome()} against {head.outcome()}"
    if base.ok and head.failed.keys() - base.failed.keys():
        first = next(iter(head.failed.values()))
        detail = " ".join((first.detail or first.cause).split())[:100]
        return Verdict.NEWLY_FAILING, None, f"{both}: {detail}" if detail else both
    if (base.failed.keys() & head.ok.keys()) or (base.failed and head.ok and not head.failed):
        return Verdict.NEWLY_PASSING, None, both
    if not (base.ok and head.ok):
        both_failed = base.failed and head.failed
        return Verdict.SAME if both_failed else Verdict.CANNOT_TELL, None, both
    lacking = any(
        record.trial.id in other.missing
        for cell, other in ((base, head_side), (head, base_side))
        for record in cell.ok.values()
    )
    if lacking or base.not_run or head.not_run:
        return Verdict.CANNOT_TELL, None, f"not every seed ran: {both}"
    return None


def _metric(
    cell: str, base: Cell, head: Cell, gate: Gate, spoiling: str, min_seeds: int
) -> Iterator[Finding]:
    """A finding still to be tested, or one that is decided already; none where neither side
    has the metric."""
    theirs, ours = base.values(gate.metric), head.values(gate.metric)
    if not theirs and not ours:
        return
    pending = in_pairs(
        Finding(cell, head.label, gate.name, Verdict.CANNOT_TELL, gate, base=theirs, head=ours)
    )
    if spoiling:
        yield replace(pending, verdict=Verdict.NOT_COMPARABLE, reason=spoiling)
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
    """Why timings that were not interleaved cannot be compared, or empty if they can. A
    disturbance may have hit only one side, and a confidence interval over seeds does not
    account for that."""
    sides = [(name, one.disturbed()) for name, one in (("BASE", base), ("HEAD", head))]
    marked = "; ".join(f"{name}: {words}" for name, words in sides if words)
    return f"disturbed, and not in turn ({marked})" if marked else ""


def _tested(findings: list[Finding], gates: Gates) -> list[Finding]:
    """Every finding that awaits a test, tested, with Holm's correction within its metric."""
    done = list(findings)
    for gate in gates:
        family, ps = [], []
        for i, finding in enumerate(findings):
            awaits_test = finding.verdict is Verdict.CANNOT_TELL and not finding.reason
            if finding.gate is gate and awaits_test:
                done[i] = measured(finding, gates.alpha)
                if (difference := done[i].difference) is not None:
                    family.append(i)
                    ps.append(difference.p)
        for i, p in zip(family, holm(ps)):
            done[i] = judged(done[i], p, gates.alpha, len(family))
    return done


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
