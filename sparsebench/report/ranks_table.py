"""The section on methods over several data sets: average ranks, and costs of a target accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import UNKNOWN, escape, fixed, plural, sentence_list, table
from sparsebench.analysis.over_datasets import (
    SHORT_OF_BEST,
    Ranked,
    Reached,
    cost_profiles,
    rankings,
)
from sparsebench.report.comparison.amounts import p_value

WITHIN = (1.0, 2.0, 10.0)
"""Times the least cost that the table has a column for."""

NOTE_RANKS = (
    "On each data set methods are ranked by their mean over the seeds, 1 is the best, and the "
    "ranks averaged (Demšar 2006). The p of Friedman's test is from shuffling the ranks within "
    "the data sets; methods differ where their average ranks lie a critical difference apart "
    "(Nemenyi, family-wise 5 %). A data set counts only if every method has a number on it."
)
NOTE_PROFILES = (
    "On what share of the data sets a method gets to the target at most so many times the cost "
    "of the cheapest one (Dolan and Moré 2002). The target of a data set lies "
    f"{SHORT_OF_BEST * 100:g} point below the highest mean test accuracy after the last epoch; "
    "the cost is the median over the seeds, of training time until the first epoch at the "
    "target, or of the trial's net peak."
)


def section(evidence: Evidence) -> Iterator[str]:
    """A heading, tables and notes; nothing without 2 methods on 3 data sets."""
    ranked, reached = rankings(evidence), cost_profiles(evidence)
    if not ranked:
        return
    yield "## Across data sets"
    yield ranks_table(ranked)
    yield "\n".join(f"- {verdict(one)}" for one in ranked)
    yield NOTE_RANKS
    if reached:
        yield from (profiles_table(reached), NOTE_PROFILES)


def ranks_table(ranked: Sequence[Ranked]) -> str:
    """A row per method, its average rank by each measure; the best of each in bold."""
    by_measure = [dict(zip(one.ranking.methods, one.ranking.ranks)) for one in ranked]
    methods = dict.fromkeys(method for one in ranked for method in one.ranking.methods)
    rows = []
    for method in methods:
        cells = [_rank(of.get(method), min(of.values())) for of in by_measure]
        rows.append([escape(method), *cells])
    return table(["method", *(f"rank by {one.name}" for one in ranked)], rows)


def _rank(rank: float | None, best: float) -> str:
    if rank is None:
        return UNKNOWN
    return f"**{fixed(rank, 2)}**" if rank == best else fixed(rank, 2)


def verdict(one: Ranked) -> str:
    """What the tests say of a ranking, in a sentence or two."""
    found = one.ranking
    parts = [
        f"By {one.name}, on {plural(found.datasets, 'data set')}: Friedman p "
        f"{escape(p_value(found.p))}, critical difference {fixed(found.critical_difference, 2)}"
    ]
    alike = [sentence_list([escape(name) for name in group]) for group in found.groups]
    if alike:
        parts.append(f"not told apart: {'; '.join(alike)}")
    else:
        parts.append("every two methods differ")
    left = f" Left out: {sentence_list([*map(escape, one.left_out)])}." if one.left_out else ""
    return f"{', '.join(parts)}.{left}"


def profiles_table(reached: Sequence[Reached]) -> str:
    """A row per cost and method: the share of data sets within so many times the least."""
    rows = [
        [cost.name, escape(profile.method), *(_share(profile.share(times)) for times in WITHIN),
         _share(profile.solved)]
        for cost in reached
        for profile in sorted(cost.profiles, key=lambda one: -one.share(WITHIN[0]))
    ]  # fmt: skip
    header = ["cost of the target", "method", "the least",
              *(f"within {times:g} times" for times in WITHIN[1:]), "target reached"]  # fmt: skip
    return table(header, rows, left=2)


def _share(share: float) -> str:
    return f"{share * 100:.0f} %"
