"""Checks before a run that the class of a part of a topology method has all that its protocol
requires, so that no trial has to begin to find that out."""

from __future__ import annotations

import inspect
from typing import get_args

from sparsebench.core.methods.protocols import (
    DensitySchedule,
    Drop,
    Grow,
    Redistribution,
    Signal,
    UpdateSchedule,
)
from sparsebench.errors import nearest

PROTOCOLS: dict[str, type] = {
    "drop": Drop,
    "grow": Grow,
    "update": UpdateSchedule,
    "redistribution": Redistribution,
    "density_schedule": DensitySchedule,
}
"""Kind of part -> its protocol."""


def why_incomplete(kind: str, part: type) -> str | None:
    """What a part's class lacks, or what is wrong with its `signals`; None if nothing is."""
    protocol = PROTOCOLS.get(kind)
    if protocol is None:
        return None
    required = [name for name in vars(protocol) if not name.startswith("_")]
    fields = {name for base in part.__mro__ for name in inspect.get_annotations(base)}
    lacking = [name for name in required if not hasattr(part, name) and name not in fields]
    if lacking:
        return f"has no {' and no '.join(lacking)}; a {kind} has {', '.join(required)}"
    for name in ("by_sign", "ranks", "scans", "globally"):
        value = getattr(part, name, True)
        if name in required and isinstance(value, str | int | None) and not isinstance(value, bool):
            return f"{name} is {value!r}; expected True or False"
    signals, known = getattr(part, "signals", ()), get_args(Signal)
    if isinstance(signals, str):
        return f"signals is the text {signals!r}; expected a tuple, such as ({signals!r},)"
    for signal in signals if isinstance(signals, tuple | list) else ():
        if signal not in known:
            return f"signals has {signal!r}.{nearest(str(signal), known)}"
    return None
