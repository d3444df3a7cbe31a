"""Methods over several data sets, drawn: critical differences, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import fixed
from sparsebench.analysis.over_datasets import cost_profiles, rankings
from sparsebench.analysis.profiles import Profile
from sparsebench.analysis.ranks import Ranking
from sparsebench.report.plots import DASHES, colors, legend_below, new_figure, plain

STEP = 0.30
"""Inches between two names, and between two bars."""

MOST_METHODS = 20


def critical_differences(evidence: Evidence) -> Figure | None:
    """A panel per measure: methods on a line of average ranks, the best at the left, and a bar
    over those that cannot be told apart. Demšar (2006), figure 1."""
    ranked = [one for one in rankings(evidence) if len(one.ranking.methods) <= MOST_METHODS]
    if not ranked:
        return None
    heights = [_rows(one.ranking) for one in ranked]
    figure, axes = new_figure(
        len(ranked), 1, STEP * sum(heights) + 0.4 * len(ranked),
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for ax, one in zip(axes, ranked):
        _ranks(ax, one.ranking)
        ax.set_title(
            f"by {one.name}, {one.ranking.datasets} data sets", fontsize=10, loc="left", pad=10
        )
    return figure


def _rows(ranking: Ranking) -> float:
    """Of text and bars below the line of ranks, and what is above it."""
    return 2.6 + len(ranking.groups) + math.ceil(len(ranking.methods) / 2)


def _ranks(ax: Axes, ranking: Ranking) -> None:
    """The y axis counts rows downwards from the line of ranks."""
    k, bars = len(ranking.methods), len(ranking.groups)
    ax.set_axis_off()
    ax.set_ylim(bars + math.ceil(k / 2) + 0.6, -2.0)
    margin = 0.42 * max(k - 1, 1)
    ax.set_xlim(1 - margin, k + margin)
    ax.plot([1, k], [0, 0], color="0.2", linewidth=1)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, -0.25], color="0.2", linewidth=1)
        ax.text(tick, -0.35, str(tick), ha="center", va="bottom", fontsize=8)
    _critical_difference(ax, ranking)
    at = dict(zip(ranking.methods, ranking.ranks))
    overhang = 0.012 * max(k - 1, 1)
    for i, group in enumerate(ranking.groups):
        ends = [at[group[0]] - overhang, at[group[-1]] + overhang]
        ax.plot(ends, [i + 0.7] * 2, color="#D55E00", linewidth=3, solid_capstyle="round")
    left = math.ceil(k / 2)
    for i, (method, rank) in enumerate(at.items()):
        row = bars + 1 + (i if i < left else k - 1 - i)
        edge = 1 - 0.06 * max(k - 1, 1) if i < left else k + 0.06 * max(k - 1, 1)
        ax.plot([rank, rank, edge], [0, row, row], color="#0072B2", linewidth=1)
        ax.text(
            edge, row, f" {plain(method, 40)}  {fixed(rank, 2)} ", fontsize=8, va="center",
            ha="right" if i < left else "left",
        )  # fmt: skip


def _critical_difference(ax: Axes, ranking: Ranking) -> None:
    """A ruler of its length above the best ranks."""
    wide = ranking.critical_difference
    longest = len(ranking.methods) - 1
    shown = min(wide, longest)
    ax.plot([1, 1 + shown], [-1.5, -1.5], color="0.2", linewidth=1.5)
    for end in (1, 1 + shown) if wide <= longest else (1,):
        ax.plot([end, end], [-1.35, -1.65], color="0.2", linewidth=1.5)
    tail = "" if wide <= longest else ": longer than the line, nothing can differ"
    ax.text(
        1 + shown, -1.5, f"  critical difference {fixed(wide, 2)}{tail}", fontsize=8, va="center"
    )


def profile_curves(evidence: Evidence) -> Figure | None:
    """A panel per cost: the share of data sets on which a method is at most so many times as
    dear as the cheapest."""
    reached = cost_profiles(evidence)
    if not reached:
        return None
    figure, axes = new_figure(1, len(reached), 3.6, sharey=True)
    methods = [profile.method for profile in reached[0].profiles]
    color = colors(methods)
    dash: dict[str, Any] = {name: DASHES[i % len(DASHES)] for i, name in enumerate(color)}
    for ax, one in zip(axes, reached):
        _curves(ax, one.profiles, color, dash)
        ax.set_xlabel(f"{one.name}, times the least")
        ax.set_ylim(-0.03, 1.03)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y * 100:.0f} %"))
    axes[0].set_ylabel(f"of {reached[0].datasets} data sets")
    keys: list[tuple[Any, str]] = [
        (Line2D([], [], color=color[name], linestyle=dash[name], linewidth=2), plain(name))
        for name in color
    ]
    legend_below(figure, keys)
    return figure


def _curves(
    ax: Axes, found: Sequence[Profile], color: dict[str, str], dash: dict[str, Any]
) -> None:
    finite = [ratio for one in found for ratio in one.ratios if math.isfinite(ratio)]
    end = max(2.0, 1.3 * max(finite, default=1.0))
    ax.set_xscale("log", base=2)
    ax.set_xlim(1 / end**0.03, end)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    for one in found:
        steps = sorted({1.0, *(r for r in one.ratios if math.isfinite(r)), end})
        shares = [one.share(step) for step in steps]
        ax.plot(
            steps, shares, drawstyle="steps-post", color=color[one.method],
            linestyle=dash[one.method], linewidth=1.8,
        )  # fmt: skip
