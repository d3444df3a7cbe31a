"""A comparison of two runs, for notebooks and tests: as `sparsebench compare`, shown as HTML."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sparsebench.analysis.comparison import Comparison, compare
from sparsebench.analysis.gates import default_gates
from sparsebench.analysis.resolve import resolve_gates, side_named
from sparsebench.analysis.sides import Side, side
from sparsebench.analysis.verdicts import Finding
from sparsebench.notebook.cards import Card, Row
from sparsebench.report.comparison import (
    QUIET,
    as_markdown,
    as_text,
    numbers,
    to_json,
    verdict_line,
    whys,
)

if TYPE_CHECKING:
    import pandas as pd

    from sparsebench.store.store import StoredRun


class Compared:
    """The verdicts on what became worse or better from BASE to HEAD.

    found  the comparison itself: its findings, notes and gates
    """

    def __init__(self, found: Comparison) -> None:
        self.found = found

    def __str__(self) -> str:
        return as_text(self.found)

    def __repr__(self) -> str:
        return f"<Compared: {verdict_line(self.found)}>"

    @property
    def exit_code(self) -> int:
        """0 no gate failed, 3 one did, 6 nothing could be decided."""
        return self.found.exit_code

    @property
    def failures(self) -> list[Finding]:
        """The findings beyond a gate."""
        return self.found.failures

    def frame(self) -> pd.DataFrame:
        """A row per finding; numbers as in the JSON of `sparsebench compare`."""
        import pandas as pd

        keys = ["label", "metric", "verdict", "fails", "reason", "effect", "effect_unit",
                "p_holm", "n"]  # fmt: skip
        rows = to_json(self.found)["findings"]
        frame = pd.DataFrame(rows, columns=[*keys, "interval", "base", "head"])
        for name in ("base", "head"):
            frame[name] = [None if one is None else one["mean"] for one in frame[name]]
        for i, name in enumerate(("low", "high")):
            frame[name] = [None if one is None else one[i] for one in frame["interval"]]
        return frame.drop(columns="interval")

    def markdown(self) -> str:
        return as_markdown(self.found)

    def _repr_html_(self) -> str:
        return self.card().html("print it, or see .frame()")

    def card(self) -> Card:
        loud = [one for one in self.found.findings if one.verdict not in QUIET]
        quiet = len(self.found.findings) - len(loud)
        base, head = (one.facts.get("run", "") for one in (self.found.base, self.found.head))
        same = [f"{quiet} findings are the same or ok and not shown"] if quiet else []
        rows = [
            Row(
                [one.label, one.metric, one.verdict, "; ".join(whys(one)), *numbers(one)], one.fails
            )
            for one in loud
        ]
        return Card(
            title=verdict_line(self.found),
            facts=[f"BASE {base}, HEAD {head}"],
            header=["cell", "metric", "verdict", "why", "base", "head", "change", "interval", "p"],
            rows=rows,
            left=4,
            notes=[*same, *self.found.notes],
        )


def compared(
    base: StoredRun | str | Path,
    head: StoredRun | str | Path,
    *,
    store: Path,
    gates: str | Path | None,
    fail_if_any: Sequence[str],
    min_seeds: int | None,
    alpha: float | None,
    time_gate: bool,
    strict: bool,
) -> Compared:
    """Sides are runs, or the names that `compare` on the command line takes."""
    from sparsebench.store.store import Store

    def resolved(one: StoredRun | str | Path) -> Side:
        if isinstance(one, str | Path):
            return side_named(Store(store), os.path.expanduser(one))
        return side(one)

    file = Path(gates) if gates is not None else None
    sides = resolved(base), resolved(head)
    resolved_gates = resolve_gates(
        file, fail_if_any, min_seeds, alpha, strict, default_gates(), time_gate,
        sides[0].metrics | sides[1].metrics,
    )  # fmt: skip
    return Compared(compare(*sides, resolved_gates))
