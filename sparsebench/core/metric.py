"""The declaration of a measured quantity; `sparsebench.metrics` has the table of all.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

Unit = Literal["fraction", "seconds", "bytes", "count", "per second", "number"]
Scale = Literal["ratio", "points", "number", "exact"]
"""How two values are compared: "ratio" by their factor (tests use logarithms), "points" in
percentage points, "number" by their difference, "exact" by equality."""

Kind = Literal["trial", "epoch", "layer"]
"""Measured once per trial, once per epoch, or once per epoch and layer."""

SYMBOLS: dict[str, str] = {
    "fraction": "share", "seconds": "s", "bytes": "bytes", "count": "", "per second": "1/s",
    "number": "",
}  # fmt: skip

STEP_PARTS = ("gather", "forward", "backward", "update")
"""The parts of a step that a compiled step times itself: the columns `NAME_seconds`."""

EPOCH_PARTS = ("data_seconds", "train_seconds", "topology_seconds")
"""The times that add up to an epoch; evaluation, observers and checkpoints are not included."""


@dataclass(frozen=True)
class DefaultGate:
    """How much worse a metric may get by default before a comparison fails or warns.

    threshold    relative: 0.05 is 5 %
    floor        absolute, in the metric's unit; both have to be exceeded
    action       "fail": exit code 3; "warn": only a message
    exact_floor  replaces `floor` if memory was measured exactly in both of the compared runs
    """

    threshold: float = 0.0
    floor: float = 0.0
    action: Literal["fail", "warn"] = "fail"
    exact_floor: float | None = None


@dataclass(frozen=True)
class Metric:
    """The declaration of a measured quantity, which records, frames, claims, gates, tables and
    exports share.

    name     the column
    unit     of the stored number; a fraction is shown as a percentage
    scale    how two values are compared
    better   +1 if more is better, -1 if less is, 0 if neither is
    kinds    whether it is measured per trial, epoch or layer
    title    heading in tables; the name if empty
    symbol   unit for tools that track a project over time; derived from `unit` if empty
    whole    whether it is a count, which an export writes without a decimal point; None: the unit
             decides
    timed    whether it depends on a measured time and is valid for one machine only; None: the unit
             decides
    tracked  whether it is exported to tools that track a project over time
    gate     the default gate of `compare`; None: there is none
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
        """JSON data, without fields that have their default."""
        plain = Metric("")
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {key: value for key, value in found.items() if value != getattr(plain, key)}
        return {**changed, **({"gate": asdict(self.gate)} if self.gate is not None else {})}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metric:
        """Read a stored declaration. Fields and values that this version does not know are
        ignored."""
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
    """The columns of a record for an objective's scores, of which the first is the primary one.

    For a score "rmse", the columns of an epoch are test_rmse and validation_rmse; a trial has those
    of its last epoch. For the primary score, a trial also has best_test_rmse, from the best epoch,
    and selected_test_rmse, from the epoch with the best validation_rmse.
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
"""Metrics of a training that removes dead neurons."""
