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

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench.analysis.gates import (
    Gate,
    Gates,
    check_exact,
    comparable,
    default_gates,
    floor,
    share,
)
from sparsebench.errors import GateError, SparsebenchError, nearest
from sparsebench.metrics import Metrics
from sparsebench.suite.form import quoted, shown

SCHEMA = 1
TOP = ("schema", "alpha", "min_seeds", "strict", "defaults", "gates")
GATE = ("threshold", "floor", "exact", "action")
ACTIONS = ("fail", "warn", "off")


def read_gates(file: Path, defaults: Gates | None = None, metrics: Metrics | None = None) -> Gates:
    """The gates of a file: those it names, and the default ones unless `defaults = false`."""
    metrics = metrics or Metrics()
    defaults = defaults if defaults is not None else default_gates(metrics)
    try:
        return _gates(tomllib.loads(file.read_bytes().decode()), defaults, metrics)
    except SparsebenchError as error:
        raise GateError(f"{file}: {error}") from None
    except OSError as error:
        raise GateError(f"{file}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise GateError(f"{file}: nested too deeply") from None
    except ValueError as error:
        raise GateError(f"{file}: is no TOML in UTF-8: {' '.join(str(error).split())}") from None


def _gates(data: dict[str, Any], defaults: Gates, metrics: Metrics) -> Gates:
    for key in data:
        if key not in TOP:
            raise GateError(f"{quoted(key)}: unknown key.{nearest(key, TOP)}")
    if data.get("schema", SCHEMA) != SCHEMA or isinstance(data.get("schema"), bool):
        found = shown(data["schema"])
        raise GateError(f"schema: found {found}; this sparsebench reads {SCHEMA}")
    tables = data.get("gates", {})
    if not isinstance(tables, dict):
        raise GateError(f"gates: expected tables [gates.METRIC], found {shown(tables)}")
    found_gates = dict(defaults.by_metric) if _flag(data, "defaults", True) else {}
    for name, table in tables.items():
        gate = _gate(name, table, found_gates.get(name), metrics)
        if gate is None:
            found_gates.pop(name, None)
        else:
            found_gates[name] = gate
    if not found_gates:
        raise GateError("gates: no gate is left; name one: [gates.net_peak_bytes]")
    return Gates(found_gates, _alpha(data), _min_seeds(data), _flag(data, "strict", False))


def _gate(name: str, table: object, known: Gate | None, metrics: Metrics) -> Gate | None:
    """The gate of a table, over the default one of that metric; None if it is off."""
    place = f"gates.{quoted(name)}"
    try:
        measured = comparable(name, metrics)
    except GateError as error:
        raise GateError(f"{place}: {error}") from None
    if not isinstance(table, dict):
        raise GateError(f"{place}: expected a table, found {shown(table)}")
    for key in table:
        if key not in GATE:
            raise GateError(f"{place}.{quoted(key)}: unknown key.{nearest(key, GATE)}")
    action = table.get("action", "fail")
    if action not in ACTIONS:
        raise GateError(f"{place}.action: unknown {shown(action)}.{nearest(str(action), ACTIONS)}")
    if action == "off":
        return None
    gate = replace(known or Gate(measured), action=action)
    return _with_amounts(gate, table, place)


def _with_amounts(gate: Gate, table: dict[str, Any], place: str) -> Gate:
    """`threshold` and `floor` belong together: where one is given, the default other is 0."""
    at = place
    try:
        if "exact" in table:
            at = f"{place}.exact"
            if table["exact"] is not True:
                raise GateError(f"expected true, found {shown(table['exact'])}; or leave it out")
            check_exact(gate.metric)
        amounts = {key: table[key] for key in ("threshold", "floor") if key in table}
        if amounts and gate.exact:
            raise GateError(f"{gate.name} is compared exactly: leave out {', '.join(amounts)}")
        if amounts:
            gate = replace(gate, threshold=0.0, floor=0.0)
        if "threshold" in amounts:
            at = f"{place}.threshold"
            gate = replace(gate, threshold=share(amounts["threshold"]))
        if "floor" in amounts:
            at = f"{place}.floor"
            gate = replace(gate, floor=floor(gate.metric, amounts["floor"]))
    except GateError as error:
        raise GateError(f"{at}: {error}") from None
    return gate


def check_alpha(value: object) -> float:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 0.5
    if not ok:
        raise GateError(f"alpha: expected a number above 0 and below 0.5, found {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def _alpha(data: dict[str, Any]) -> float:
    return check_alpha(data.get("alpha", default_gates().alpha))


def _min_seeds(data: dict[str, Any]) -> int:
    found = data.get("min_seeds", default_gates().min_seeds)
    if isinstance(found, bool) or not isinstance(found, int) or found < 2:
        raise GateError(f"min_seeds: expected a whole number from 2, found {shown(found)}")
    return found


def _flag(data: dict[str, Any], key: str, default: bool) -> bool:
    found = data.get(key, default)
    if not isinstance(found, bool):
        raise GateError(f"{key}: expected true or false, found {shown(found)}")
    return found
