"""The cells of a run under names that tell them apart, for formats of other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.core.trial import Trial
from sparsebench.store.record import Record
from sparsebench.suite.labels import brief

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun


@dataclass(frozen=True)
class NamedCell:
    """name     `suite[value-value]`, with the cell's id where two would be called the same
    records  by seed
    """

    id: str
    name: str
    records: Sequence[Record]

    @property
    def trial(self) -> Trial:
        return self.records[0].trial


def named_cells(run: StoredRun) -> list[NamedCell]:
    """In the order in which the least seeds come in the run."""
    found: dict[str, list[Record]] = {}
    for record in sorted(run.records, key=lambda record: record.trial.seed):
        found.setdefault(record.trial.cell, []).append(record)
    names = _names({cell: records[0].trial for cell, records in found.items()})
    return [NamedCell(cell, names[cell], records) for cell, records in found.items()]


def grid_words(trial: Trial) -> dict[str, str]:
    """The grid values but for the seed, in words."""
    words = trial.words or {key: brief(value) for key, value in trial.axes.items()}
    return {key: words[key] for key in words if key != "seed"}


def _names(trials: Mapping[str, Trial]) -> dict[str, str]:
    plain = {
        cell: f"{trial.suite}[{'-'.join(grid_words(trial).values()) or 'all'}]"
        for cell, trial in trials.items()
    }
    taken = list(plain.values())
    return {
        cell: name if taken.count(name) == 1 else f"{name[:-1]}-{cell}]"
        for cell, name in plain.items()
    }
