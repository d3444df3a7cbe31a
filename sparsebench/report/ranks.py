"""The section on methods over several data sets: average ranks, and costs of a target accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sparsebench.analysis.number_format import UNKNOWN, fixed, p_value, sentence_list
from sparsebench.analysis.ranks import SHORT_OF_BEST, Profile, Ranking, cost_profiles, rankings
from sparsebench.analysis.report_data import ReportData
from sparsebench.report.document import (
    Axis,
    Beside,
    Block,
    Bold,
    Cell,
    Chart,
    Panel,
    Section,
    Series,
    Table,
)
from sparsebench.report.document import section as section_of

WITHIN = (1.0, 2.0, 10.0)
"""The table has a column for each of these multiples of the lowest cost."""

STEP = 30.0
"""Pixels between two names, and between two bars."""

MOST_METHODS = 20

NOTE_RANKS = (
    "On each data set methods are ranked by their mean over the seeds, 1 is the best, and the "
    "ranks averaged (Demšar 2006). Friedman's p is from permuting the ranks within the data sets; "
    "methods differ where their average ranks lie a critical difference apart (Nemenyi, "
    "family-wise 5 %). A data set counts only if every method has a number on it."
)
NOTE_PROFILES = (
    "The share of the data sets on which a method reaches the target at so many times the cost of "
    "the cheapest one (Dolan and Moré 2002). The target lies "
    f"{SHORT_OF_BEST * 100:g} point below the highest mean test accuracy after the last epoch; the "
    "cost is the median over the seeds."
)
METHOD, ALIKE = "average rank of a method", "not distinguished by the Nemenyi test"


def sections(report_data: ReportData) -> list[Section]:
    """The sections on ranks; empty with fewer than 2 methods or 3 data sets."""
    ranked = rankings(report_data)
    if not ranked:
        return []
    costs = cost_profiles(report_data)
    profiles: list[Block] = [profiles_table(costs), NOTE_PROFILES] if costs else []
    return section_of(
        "Across data sets", ranks_table(ranked), rank_tests_table(ranked), NOTE_RANKS, *profiles
    )


def ranks_table(ranked: Sequence[Ranking]) -> Table:
    """A table with a row per method and its average rank by each measure; the best are bold."""
    by_measure = [dict(zip(one.methods, one.ranks)) for one in ranked]
    rows = []
    for method in dict.fromkeys(method for one in ranked for method in one.methods):
        cells = []
        for ranks in by_measure:
            shown = fixed(ranks[method], 2) if method in ranks else UNKNOWN
            best = ranks.get(method) == min(ranks.values())
            cells.append(Cell([Bold(shown) if best else shown], ranks.get(method)))
        rows.append([method, *cells])
    header = ["method", *(f"rank by {one.measure}" for one in ranked)]
    return Table(header, rows).in_paper("ranks", "Average ranks over the data sets.")


def rank_tests_table(ranked: Sequence[Ranking]) -> Table:
    """A table with a row per measure: the tests of its ranking, and the groups of methods that they
    cannot distinguish."""
    rows = [
        [one.measure, "; ".join(map(sentence_list, one.groups)) or "none",
         ", ".join(one.left_out) or "none", one.datasets, Cell(p_value(one.p), one.p),
         Cell(fixed(one.critical_difference, 2), one.critical_difference)]
        for one in ranked
    ]  # fmt: skip
    header = ["rank by", "not distinguished", "data sets left out", "data sets", "Friedman p",
              "critical difference"]  # fmt: skip
    return Table(header, rows, left=3).in_paper("rank-tests", "Tests of the average ranks.")


def profiles_table(costs: Mapping[str, Sequence[Profile]]) -> Table:
    """A table with a row per cost and method: the shares of data sets on which the cost is within
    the multiples `WITHIN` of the lowest."""
    rows = [
        [cost, one.method,
         *(Cell(f"{share * 100:.0f} %", share) for share in (*map(one.share, WITHIN), one.solved))]
        for cost, profiles in costs.items()
        for one in sorted(profiles, key=lambda one: -one.share(WITHIN[0]))
    ]  # fmt: skip
    header = ["cost of the target", "method", "the least",
              *(f"within {times:g} times" for times in WITHIN[1:]), "target reached"]  # fmt: skip
    return Table(header, rows, left=2)


def critical_differences(report_data: ReportData) -> Chart | None:
    """The critical-difference diagram of Demšar (2006), figure 1, with a panel per measure: methods
    on a line of average ranks, the best at the left, and bars over methods that cannot be
    distinguished. None without rankings, or if they all have more than `MOST_METHODS` methods."""
    panels = [_panel(one) for one in rankings(report_data) if len(one.methods) <= MOST_METHODS]
    if not panels:
        return None
    caption = "The best at the left. A bar joins methods that the Nemenyi test cannot tell apart."
    title = "Average ranks over the data sets"
    return Chart("ranks", title, caption, panels, [METHOD, ALIKE], [METHOD, ALIKE])


def _panel(ranking: Ranking) -> Panel:
    """The panel of one ranking. Its y axis counts rows downwards from the line of ranks."""
    k, bars, wide = len(ranking.methods), len(ranking.groups), ranking.critical_difference
    left, longest = math.ceil(k / 2), k - 1
    series = [Series([1, k], [0, 0], joined="line", dash="solid", width=1)]
    texts: list[tuple[float, float, str, Beside]] = []
    for tick in range(1, k + 1):
        series.append(Series([tick, tick], [0, 0.25], joined="line", dash="solid", width=1))
        texts.append((tick, 0.35, str(tick), "above"))
    end = 1 + min(wide, longest)
    series.append(Series([1, end], [1.5, 1.5], joined="line", dash="solid"))
    tail = "" if wide <= longest else ": longer than the line, nothing can differ"
    texts.append(((1 + end) / 2, 1.6, f"critical difference {fixed(wide, 2)}{tail}", "above"))
    at = dict(zip(ranking.methods, ranking.ranks))
    for i, group in enumerate(ranking.groups):
        span = [at[group[0]] - 0.012 * longest, at[group[-1]] + 0.012 * longest]
        series.append(
            Series(span, [-i - 0.7] * 2, ALIKE, ALIKE, joined="line", dash="solid", width=4)
        )
    for i, (method, rank) in enumerate(at.items()):
        row = -(bars + 1 + (i if i < left else k - 1 - i))
        edge = 1 - 0.06 * longest if i < left else k + 0.06 * longest
        line = Series(
            [rank, rank, edge], [0, row, row], METHOD, METHOD, "line", dash="solid", width=1
        )
        series.append(line)
        side: Beside = "left" if i < left else "right"
        texts.append((edge, row, f" {method}  {fixed(rank, 2)} ", side))
    limits = (1 - 0.42 * longest, k + 0.42 * longest)
    return Panel(
        f"by {ranking.measure}, {ranking.datasets} data sets", Axis("", limits=limits),
        Axis("", limits=(-(bars + left + 0.6), 2.6)), series, STEP * (3.2 + bars + left) + 40,
        texts=texts, bare=True,
    )  # fmt: skip
