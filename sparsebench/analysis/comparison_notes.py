"""Notes below a comparison: circumstances of its two sides that no verdict shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sparsebench.analysis.comparison_sides import Side
from sparsebench.analysis.number_format import plural
from sparsebench.core.status import Status
from sparsebench.store.attempts import DAMAGED

MOST_SEEDS = 10
"""The most seeds that a note lists."""


def notes_on(base: Side, head: Side) -> Iterator[str]:
    yield from _reused(base, head)
    yield from _seeds(base, head)
    for name, one in (("BASE", base), ("HEAD", head)):
        yield from (f"{name}: {note}" for note in one.notes)
        met = Counter(str(mark) for r in one.records() for mark in r.noise.get("marks", ()))
        if marks := ", ".join(f"{count} {mark}" for mark, count in met.items()):
            yield f"the machine was disturbed while trials of {name} ran: {marks}"
        damaged = [record.detail for record in one.records() if record.cause == DAMAGED]
        if damaged:
            where = damaged[0].removeprefix(f"{DAMAGED}: ")
            yield (
                f"{name}: {plural(len(damaged), 'record')} damaged, as if not run"
                f"{f': {where}' if where else ''}; see: sparsebench store verify"
            )
        if one.missing:
            yield f"{name} is not complete: {len(one.missing)} trials have no record"
    yield from _steps(base, head)


def _reused(base: Side, head: Side) -> Iterator[str]:
    """Yield a note if records of HEAD are the same attempts as those of BASE."""
    ours, theirs = (
        {(r.trial.id, r.attempt, r.started, r.ended) for r in one.records()
         if r.status is Status.OK}
        for one in (base, head)
    )  # fmt: skip
    if same := len(ours & theirs):
        yield (
            f"{same} of HEAD's {plural(len(theirs), 'record')} are BASE's own, reused and not "
            "measured again; measure anew: sparsebench run SUITE --rerun all"
        )


def _seeds(base: Side, head: Side) -> Iterator[str]:
    """Yield a note for each way in which the seeds of a cell differ between the sides."""
    met: Counter[tuple[tuple[str, ...], ...]] = Counter()
    cells = base.cells.keys() & head.cells.keys()
    for cell in cells:
        ours, theirs = base.cells[cell], head.cells[cell]
        rounds = any(isinstance(key, tuple) for key in ours.ok)
        if ours.ok and theirs.ok and ours.ok.keys() != theirs.ok.keys() and not rounds:
            common = ours.seeds(ours.ok.keys() & theirs.ok.keys())
            met[common, ours.seeds(ours.ok), theirs.seeds(theirs.ok)] += 1
    for (common, of_base, of_head), count in sorted(met.items()):
        where = "" if count == len(cells) else f"{plural(count, 'cell')} of {len(cells)}: "
        if common:
            yield f"{where}compared on the seeds that both have: {_few(common)}"
        else:
            yield (
                f"{where}no seed is on both sides, so nothing is paired: {_few(of_base)} in BASE, "
                f"{_few(of_head)} in HEAD"
            )


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - MOST_SEEDS} more" if len(words) > MOST_SEEDS else ""
    return ", ".join(words[:MOST_SEEDS]) + more


def _steps(base: Side, head: Side) -> Iterator[str]:
    """Yield a note for each change in how training steps were made, with the number of cells."""
    changes: Counter[tuple[str, str]] = Counter()
    for cell in base.cells.keys() & head.cells.keys():
        ways = [
            {str(r.settings.get("step") or "") for r in side.cells[cell].ok.values()} - {""}
            for side in (base, head)
        ]
        if all(ways) and ways[0] != ways[1]:
            changes[" and ".join(sorted(ways[0])), " and ".join(sorted(ways[1]))] += 1
    for (was, now), cells in sorted(changes.items()):
        yield (
            f"training steps of {plural(cells, 'cell')}: {was} in BASE, {now} in HEAD "
            "(settings.step), so their times compare two programs"
        )
