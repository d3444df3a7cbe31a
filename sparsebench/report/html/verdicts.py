"""What became of the suite's claims, for the top of the page."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from sparsebench.analysis.claims import Holds, Judged, judge
from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import Spread, in_unit
from sparsebench.errors import printable
from sparsebench.report.html.prose import inline
from sparsebench.report.published import against

MARKS = {
    Holds.HOLDS: ("✓", "good"),
    Holds.FAILS: ("✗", "bad"),
    Holds.CANNOT_TELL: ("?", "plain"),
    Holds.NOT_RUN: ("–", "plain"),
    Holds.SHOWN: ("=", "plain"),
}
"""By shape and by word, so that no colour is needed."""


@dataclass(frozen=True)
class Line:
    """One cell, or pair of cells, of a claim."""

    mark: str
    kind: str
    verdict: str
    trials: Markup
    numbers: str
    reason: str


@dataclass
class Claim:
    """counts  of its lines by verdict, in the order of `Holds`"""

    text: str
    source: str
    lines: list[Line] = field(default_factory=list)

    @property
    def counts(self) -> list[tuple[str, str, str, int]]:
        """Mark, kind, verdict, number."""
        looks = [(line.mark, line.kind, line.verdict) for line in self.lines]
        return [
            (*MARKS[verdict], str(verdict), n)
            for verdict in Holds
            if (n := looks.count((*MARKS[verdict], str(verdict))))
        ]


def verdicts(evidence: Evidence) -> list[Claim]:
    """A claim of the suite with all its cells, in the order of the suite."""
    found: dict[tuple[str, str], Claim] = {}
    for row in judge(evidence):
        key = (row.text, row.source)
        claim = found.setdefault(key, Claim(printable(row.text), printable(row.source)))
        claim.lines.append(_line(row))
    return list(found.values())


def _line(row: Judged) -> Line:
    mark, kind = MARKS[row.verdict]
    ours, other = (Spread(side.mean, side.sd, side.n) for side in (row.ours, row.other))
    between = "published" if row.published else "against"
    numbers = (
        f"{in_unit(row.metric, ours)} (n = {ours.n}), {between} {in_unit(row.metric, other)}: "
        f"{against(ours, other, row.metric)}"
        if ours.n
        else ""
    )
    trials = inline(row.trials)
    if row.against and not row.published:
        against_these = Markup('{} <span class="quiet">against</span> {}')
        trials = against_these.format(trials, inline(row.against))
    return Line(mark, kind, str(row.verdict), trials, numbers, row.reason)
