"""Gates from a TOML file. Every complaint: file, key, what was found, what is known.

schema = 1
alpha = 0.05                    # of each metric's family of cells
min_seeds = 5
strict = false                  # true: what could not be decided ends in exit code 6
defaults = true                 # false: only the gates below

[gates.net_peak_bytes]
threshold = "5%"                # of the base's mean, and
floor = "2MiB"                  # in the metric's unit
action = "fail"                 # or "warn", or "off"
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict, TypeAdapter, ValidationError

from sparsebench.analysis.gates import (
    Gate,
    Gates,
    check_exact,
    comparable,
    default_gates,
    floor,
    share,
)
from sparsebench.errors import GateError
from sparsebench.metrics import Metrics
from sparsebench.validation import complaint, quoted, read_toml, shown

SCHEMA = 1
_FORBID: Any = {"extra": "forbid"}
_Flag = Annotated[bool, Strict()]


@dataclass(frozen=True)
class GateTable:
    """A table [gates.METRIC]; its amounts are read when the metric is known."""

    __pydantic_config__: ClassVar[Any] = _FORBID

    threshold: Any = None
    floor: Any = None
    exact: Annotated[Literal[True] | None, Field(description="true, or nothing at all")] = None
    action: Literal["fail", "warn", "off"] = "fail"


@dataclass(frozen=True)
class GatesFile:
    __pydantic_config__: ClassVar[Any] = _FORBID

    schema: Any = SCHEMA
    alpha: Annotated[
        float,
        Strict(),
        Field(gt=0, lt=0.5, description="a number above 0 and below 0.5"),
    ] = default_gates().alpha
    min_seeds: Annotated[int, Strict(), Field(ge=2, description="a whole number from 2")] = (
        default_gates().min_seeds
    )
    strict: _Flag = False
    defaults: _Flag = True
    gates: Annotated[dict[str, GateTable], Field(description="tables [gates.METRIC]")] = field(
        default_factory=dict
    )


_FORM = TypeAdapter(GatesFile)


def read_gates(file: Path, defaults: Gates | None = None, metrics: Metrics | None = None) -> Gates:
    """The gates of a file: those it names, and the default ones unless `defaults = false`."""
    metrics = metrics or Metrics()
    defaults = defaults if defaults is not None else default_gates(metrics)
    data, _ = read_toml(file, GateError)
    try:
        found = _FORM.validate_python(data)
        if type(found.schema) is not int or found.schema != SCHEMA:
            raise GateError(f"schema: found {shown(found.schema)}; this sparsebench reads {SCHEMA}")
        gates = dict(defaults.by_metric) if found.defaults else {}
        for name, table in found.gates.items():
            gate = _gate(name, table, gates.pop(name, None), metrics)
            if gate is not None:
                gates[name] = gate
        if not gates:
            raise GateError("gates: no gate is left; name one: [gates.net_peak_bytes]")
    except ValidationError as error:
        raise GateError(f"{file}: {complaint(error, GatesFile)}") from None
    except GateError as error:
        raise GateError(f"{file}: {error}") from None
    return Gates(gates, found.alpha, found.min_seeds, found.strict)


def check_alpha(value: float) -> float:
    if not 0 < value < 0.5:
        raise GateError(f"alpha: expected a number above 0 and below 0.5, found {shown(value)}")
    return value


def _gate(name: str, table: GateTable, known: Gate | None, metrics: Metrics) -> Gate | None:
    """The gate of a table, over the default one of that metric; None if it is off.

    `threshold` and `floor` belong together: where one is given, the default other is 0.
    """
    at = f"gates.{quoted(name)}"
    try:
        gate = known or Gate(comparable(name, metrics))
        if table.action == "off":
            return None
        gate = replace(gate, action=table.action)
        amounts = [key for key in ("threshold", "floor") if getattr(table, key) is not None]
        if amounts and gate.exact:
            raise GateError(f"{gate.name} is compared exactly: leave out {', '.join(amounts)}")
        if amounts:
            gate = replace(gate, threshold=0.0, floor=0.0)
        if table.exact:
            at = f"gates.{quoted(name)}.exact"
            check_exact(gate.metric)
        if table.threshold is not None:
            at = f"gates.{quoted(name)}.threshold"
            gate = replace(gate, threshold=share(table.threshold))
        if table.floor is not None:
            at = f"gates.{quoted(name)}.floor"
            gate = replace(gate, floor=floor(gate.metric, table.floor))
    except GateError as error:
        raise GateError(f"{at}: {error}") from None
    return gate
