"""The declaration of a measured quantity; the table of all is `sparsebench.metrics`. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

Unit = Literal["fraction", "seconds", "bytes", "count", "per second", "number"]
Scale = Literal["ratio", "points", "number", "exact"]
"""How two values differ: by a factor (tests on logarithms), by points of a percentage, by a
number, or not at all."""

Kind = Literal["trial", "epoch", "layer"]
"""Measured once a trial, once an epoch, or once an epoch for each layer."""

SYMBOLS: dict[str, str] = {
    "fraction": "share", "seconds": "s", "bytes": "bytes", "count": "", "per second": "1/s",
    "number": "",
}  # fmt: skip

EPOCH_PARTS = ("data_seconds", "train_seconds", "topology_seconds")
"""The times that an epoch consists of; evaluation, observers and checkpoints are no part of it."""


@dataclass(frozen=True)
class DefaultGate:
    """By how much a metric may get worse unless a comparison says otherwise.

    threshold    relative, 0.05 is 5 %
    floor        in the metric's unit
    action       "fail" ends in exit code 3, "warn" only says so
    exact_floor  the floor where both sides' memory was measured exactly
    """

    threshold: float = 0.0
    floor: float = 0.0
    action: Literal["fail", "warn"] = "fail"
    exact_floor: float | None = None


@dataclass(frozen=True)
class Metric:
    """A measured quantity, declared once: records, frames, claims, gates, tables and exports read
    this.

    name     the column
    unit     of the stored number; a fraction is shown as a percentage
    scale    how two values are compared
    better   +1 if more is better, -1 if less is, 0 if neither is
    kinds    what it is measured of
    title    words for a table's head; the name where empty
    symbol   the unit for tools that follow a project over time; that of the unit where empty
    whole    counts something, so that an export writes it without a point; None: as the unit says
    timed    follows from a measured time, so that it holds for one machine only; None: as the
             unit says
    tracked  exported to tools that follow a project over time
    gate     what `compare` gates by default; None: nothing
    """

    name: str
    unit: Unit = "number"
    scale: Scale = "number"
    better: Literal[-1, 0, 1] = 0
    kinds: tuple[Kind, ...] = ("trial",)
    title: str = ""
    symbol: str = ""
    whole: bool | None = None
    timed: bool | None = None
    tracked: bool = False
    gate: DefaultGate | None = None

    @property
    def is_whole(self) -> bool:
        return self.unit in ("count", "bytes") if self.whole is None else self.whole

    @property
    def is_time(self) -> bool:
        return self.unit in ("seconds", "per second") if self.timed is None else self.timed

    @property
    def heading(self) -> str:
        return self.title or self.name

    @property
    def unit_symbol(self) -> str:
        return self.symbol or SYMBOLS[self.unit]

    def to_json(self) -> dict[str, Any]:
        """As JSON data, without what has its default."""
        plain = Metric("")
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {key: value for key, value in found.items() if value != getattr(plain, key)}
        return {**changed, **({"gate": asdict(self.gate)} if self.gate is not None else {})}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metric:
        """A stored declaration; what this version does not know is passed over."""
        found = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        known = {"unit": get_args(Unit), "scale": get_args(Scale), "better": (-1, 0, 1)}
        for name, values in known.items():
            if found.get(name) not in values:
                found.pop(name, None)
        if "kinds" in found:
            found["kinds"] = tuple(kind for kind in found["kinds"] if kind in get_args(Kind))
        if found.get("gate") is not None:
            gate = found["gate"]
            found["gate"] = DefaultGate(
                gate.get("threshold", 0.0), gate.get("floor", 0.0),
                "warn" if gate.get("action") == "warn" else "fail",
                gate.get("exact_floor"),
            )  # fmt: skip
        return cls(**found)


def columns(scores: Sequence[Metric]) -> tuple[Metric, ...]:
    """The columns that a record has for the scores of an objective; the first score is the primary
    one.

    "rmse" is measured as test_rmse and validation_rmse, after each epoch, and for a trial after the
    last. Of the primary one a trial also has best_test_rmse, of the best epoch, and
    selected_test_rmse, of the epoch with the best validation_rmse.
    """
    found = []
    for number, score in enumerate(scores):
        plain = replace(score, title="", gate=None)
        each = replace(plain, kinds=("trial", "epoch"))
        found += [
            replace(
                each,
                name=f"test_{score.name}",
                title=f"test {score.heading}",
                gate=score.gate,
                tracked=number == 0,
            ),
            replace(each, name=f"validation_{score.name}"),
        ]
        if number == 0:
            found += [replace(plain, name=f"{of}_test_{score.name}") for of in ("best", "selected")]
    return tuple(found)


OF_COMPACTION = (
    Metric("hidden_neurons", "count", better=-1, kinds=("trial", "epoch"), title="hidden neurons"),
    Metric("network_bytes", "bytes", "ratio", -1, ("trial", "epoch"), "arrays of the network"),
    Metric("neurons_of_layer", "count", better=-1, kinds=("layer",)),
)
"""Metrics of a training in which dead neurons are taken out."""
