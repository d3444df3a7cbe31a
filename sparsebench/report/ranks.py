"""The section on methods over several data sets: average ranks, and costs of a target accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import UNKNOWN, escape, fixed, p_value, sentence_list, table
from sparsebench.analysis.ranks import (
    SHORT_OF_BEST,
    CostProfiles,
    Ranked,
    Ranking,
    cost_profiles,
    rankings,
)
from sparsebench.report.plots import new_figure, plain

WITHIN = (1.0, 2.0, 10.0)
"""Times the least cost that the table has a column for."""

STEP = 0.30
"""Inches between two names, and between two bars."""

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


def section(evidence: Evidence) -> Iterator[str]:
    """A heading, tables and notes; nothing without 2 methods on 3 data sets."""
    ranked, costs = rankings(evidence), cost_profiles(evidence)
    if ranked:
        yield from ("## Across data sets", ranks_table(ranked), tests_table(ranked), NOTE_RANKS)
        if costs:
            yield from (profiles_table(costs), NOTE_PROFILES)


def ranks_table(ranked: Sequence[Ranked]) -> str:
    """A row per method, its average rank by each measure; the best of each in bold."""
    by_measure = [dict(zip(one.ranking.methods, one.ranking.ranks)) for one in ranked]
    methods = dict.fromkeys(method for one in ranked for method in one.ranking.methods)
    rows = []
    for method in methods:
        cells = []
        for ranks in by_measure:
            shown = fixed(ranks[method], 2) if method in ranks else UNKNOWN
            cells.append(f"**{shown}**" if ranks.get(method) == min(ranks.values()) else shown)
        rows.append([escape(method), *cells])
    return table(["method", *(f"rank by {escape(one.name)}" for one in ranked)], rows)


def tests_table(ranked: Sequence[Ranked]) -> str:
    """A row per measure: the tests of its ranking, and the groups that they cannot tell apart."""
    rows = []
    for one in ranked:
        found = one.ranking
        alike = "; ".join(sentence_list([escape(name) for name in group]) for group in found.groups)
        rows.append(
            [escape(one.name), alike or "none", escape(", ".join(one.left_out)) or "none",
             str(found.datasets), escape(p_value(found.p)), fixed(found.critical_difference, 2)]
        )  # fmt: skip
    header = ["rank by", "not told apart", "data sets left out", "data sets", "Friedman p",
              "critical difference"]  # fmt: skip
    return table(header, rows, left=3)


def profiles_table(costs: Sequence[CostProfiles]) -> str:
    """A row per cost and method: the share of data sets within so many times the least."""
    rows = [
        [cost.name, escape(one.method),
         *(f"{share * 100:.0f} %" for share in (*map(one.share, WITHIN), one.solved))]
        for cost in costs
        for one in sorted(cost.profiles, key=lambda one: -one.share(WITHIN[0]))
    ]  # fmt: skip
    header = ["cost of the target", "method", "the least",
              *(f"within {times:g} times" for times in WITHIN[1:]), "target reached"]  # fmt: skip
    return table(header, rows, left=2)


def critical_differences(evidence: Evidence) -> Figure | None:
    """A panel per measure: methods on a line of average ranks, the best at the left, and a bar
    over those that cannot be told apart. Demšar (2006), figure 1."""
    ranked = [one for one in rankings(evidence) if len(one.ranking.methods) <= MOST_METHODS]
    if not ranked:
        return None
    heights = [
        2.6 + len(one.ranking.groups) + math.ceil(len(one.ranking.methods) / 2) for one in ranked
    ]
    figure, axes = new_figure(
        len(ranked), 1, STEP * sum(heights) + 0.4 * len(ranked),
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for ax, one in zip(axes, ranked):
        _ranks(ax, one.ranking)
        title = f"by {plain(one.name)}, {one.ranking.datasets} data sets"
        ax.set_title(title, fontsize=10, loc="left", pad=10)
    return figure


def _ranks(ax: Axes, ranking: Ranking) -> None:
    """The y axis counts rows downwards from the line of ranks."""
    k, bars = len(ranking.methods), len(ranking.groups)
    left, longest = math.ceil(k / 2), k - 1
    ax.set_axis_off()
    ax.set_ylim(bars + left + 0.6, -2.0)
    ax.set_xlim(1 - 0.42 * longest, k + 0.42 * longest)
    ax.plot([1, k], [0, 0], color="0.2", linewidth=1)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, -0.25], color="0.2", linewidth=1)
        ax.text(tick, -0.35, str(tick), ha="center", va="bottom", fontsize=8)
    wide = ranking.critical_difference
    ends = (1, 1 + min(wide, longest))
    ax.plot(ends, [-1.5, -1.5], color="0.2", linewidth=1.5, marker="|", markersize=8)
    tail = "" if wide <= longest else ": longer than the line, nothing can differ"
    label = f"  critical difference {fixed(wide, 2)}{tail}"
    ax.text(ends[1], -1.5, label, fontsize=8, va="center")
    at = dict(zip(ranking.methods, ranking.ranks))
    for i, group in enumerate(ranking.groups):
        span = [at[group[0]] - 0.012 * longest, at[group[-1]] + 0.012 * longest]
        ax.plot(span, [i + 0.7] * 2, color="#D55E00", linewidth=3, solid_capstyle="round")
    for i, (method, rank) in enumerate(at.items()):
        row = bars + 1 + (i if i < left else k - 1 - i)
        edge = 1 - 0.06 * longest if i < left else k + 0.06 * longest
        ax.plot([rank, rank, edge], [0, row, row], color="#0072B2", linewidth=1)
        ax.text(
            edge, row, f" {plain(method, 40)}  {fixed(rank, 2)} ", fontsize=8, va="center",
            ha="right" if i < left else "left",
        )  # fmt: skip
