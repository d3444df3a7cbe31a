"""The honesty audit: what each backend claims, what was found, and the numbers behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import UNKNOWN as NOT_KNOWN
from sparsebench.analysis.formats import decimals_for, escape, fixed, sentence_list, table
from sparsebench.analysis.groups import groups
from sparsebench.store.record import CONTRADICTED, SIMULATED, TRULY_SPARSE, UNKNOWN, Record

NOTE = (
    "Each backend's layers were probed on this machine with the same number of connections, "
    "neurons and samples while K x D, the size of the dense matrix, grows: what is truly sparse "
    "takes no longer and no more memory. Growth is that of the call that grows most, and 1.0 is "
    "none. Peak over declared is the net peak of the trials over what their networks say they "
    "store, the median and the largest; transients and data are in it."
)


def section(evidence: Evidence) -> Iterator[str]:
    """Heading, table, what was found in sentences, note; nothing where no trial was audited."""
    found = audit_table(evidence)
    if found:
        yield from ("## Honesty audit", found, *findings(evidence), NOTE)


def audit_table(evidence: Evidence) -> str:
    """A row per backend and finding."""
    rows = [
        [escape(backend), claims, shown(claims, verdict), *_numbers(records), str(len(records))]
        for (backend, claims, verdict), records in _grouped(evidence).items()
    ]
    header = ["backend", "claims", "found", "flags", "growth of K x D", "of time", "of memory",
              "peak over declared", "trials"]  # fmt: skip
    return table(header, rows, left=4) if rows else ""


def shown(claims: str, verdict: str) -> str:
    """The finding, in words that a reader cannot take for another."""
    if verdict == SIMULATED:
        return "simulated sparsity (declared)" if claims == SIMULATED else "simulated sparsity"
    return f"**{verdict}**" if verdict == CONTRADICTED else verdict


def findings(evidence: Evidence) -> Iterator[str]:
    """Why, for every backend of which something was found or could not be."""
    lines = []
    for (backend, _, verdict), records in _grouped(evidence).items():
        if verdict != TRULY_SPARSE:
            why = dict.fromkeys(str(record.audit.get("why", "")) for record in records)
            lines.append(f"- {escape(backend)}, {verdict}: {escape(next(iter(why)))}.")
    if lines:
        yield "\n".join(lines)


def _grouped(evidence: Evidence) -> dict[tuple[str, str, str], list[Record]]:
    """Records by backend, claim and verdict."""
    grouped: dict[tuple[str, str, str], list[Record]] = {}
    for backend, part in groups(evidence.frame, ["backend_label"]):
        for i in part.index:
            record = evidence.records[int(str(i))]
            if record.audit:
                audit = record.audit
                key = (
                    str(backend),
                    str(audit.get("claims", UNKNOWN)),
                    str(audit.get("verdict", "")),
                )
                grouped.setdefault(key, []).append(record)
    return grouped


def _numbers(records: Sequence[Record]) -> list[str]:
    """Flags, then the growth of the probes, the largest where there are several; then the
    ratios of the trials."""
    probes = [record.audit.get("probe") or {} for record in records]
    flags = dict.fromkeys(flag for record in records for flag in record.audit.get("flags", ()))
    growths = [_largest(probes, key) for key in ("size_growth", "time_growth", "memory_growth")]
    return [escape(sentence_list(list(flags))) or "none", *growths, _peaks(records)]


def _largest(probes: Sequence[Mapping[str, Any]], key: str) -> str:
    known = [float(probe[key]) for probe in probes if probe.get(key) is not None]
    return _factor(max(known)) if known else NOT_KNOWN


def _peaks(records: Sequence[Record]) -> str:
    """`1.3 (1.6)`: the median and the largest."""
    ratios = sorted(
        record.audit["net_peak_bytes"] / record.audit["declared_bytes"]
        for record in records
        if record.audit.get("net_peak_bytes") and record.audit.get("declared_bytes")
    )
    if not ratios:
        return NOT_KNOWN
    return f"{_factor(ratios[(len(ratios) - 1) // 2])} ({_factor(ratios[-1])})"


def _factor(value: float) -> str:
    return f"{fixed(value, min(1, decimals_for(value, 2)))}" if math.isfinite(value) else NOT_KNOWN
