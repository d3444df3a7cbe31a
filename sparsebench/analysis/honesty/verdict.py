"""What a record keeps of the audit: claim, finding, and the numbers behind it. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsebench.analysis.honesty.judging import Judgement
from sparsebench.analysis.honesty.weighing import Weight, weigh
from sparsebench.core.sizes import SizedBackend
from sparsebench.registry import Component, Plugins
from sparsebench.store.record import (
    CANNOT_TELL,
    CONTRADICTED,
    SIMULATED,
    TRULY_SPARSE,
    UNKNOWN,
)


def claim_of(backend: Component, plugins: Plugins) -> str:
    """What the parameters of a backend declare as `truly_sparse`; imports nothing heavy."""
    parameters = plugins.parameters("backend", backend)
    if not isinstance(parameters, SizedBackend):
        return UNKNOWN
    return TRULY_SPARSE if parameters.truly_sparse else SIMULATED


def claim(said: bool | None, otherwise: str) -> str:
    """What the backend's class says, if it has been loaded."""
    if said is None:
        return otherwise
    return TRULY_SPARSE if said else SIMULATED


def audited(
    claims: str,
    layers: Sequence[Mapping[str, Any]],
    measures: Mapping[str, Any],
    probed: Judgement | str,
    processes: int = 1,
) -> dict[str, Any]:
    """The `audit` of a record. `probed`: what the probe found, or why there is none; `processes`
    of the trial, each with a network."""
    own = weigh(layers, measures, processes)
    judged = probed if isinstance(probed, Judgement) else None
    flags = list(dict.fromkeys([*(judged.flags if judged else ()), *own.flags]))
    return {
        "claims": claims,
        "verdict": _verdict(claims, flags, judged),
        "flags": flags,
        "why": _why(own, probed),
        "probe": judged.numbers if judged else {},
        "declared_bytes": own.declared_bytes,
        "net_peak_bytes": own.net_peak_bytes,
        "dense_bytes": own.dense_bytes,
    }


def _verdict(claims: str, flags: Sequence[str], judged: Judgement | None) -> str:
    if flags:
        return CONTRADICTED if claims == TRULY_SPARSE else SIMULATED
    return TRULY_SPARSE if judged is not None and judged.sure else CANNOT_TELL


def _why(own: Weight, probed: Judgement | str) -> str:
    """Only what was found; where nothing was, what there was to find it with."""
    judged = probed.why if isinstance(probed, Judgement) else f"no probe: {probed}"
    found = isinstance(probed, Judgement) and bool(probed.flags)
    if found or own.flags:
        return "; ".join([judged] * found + [own.why] * bool(own.flags))
    return f"{judged}; {own.why}"
