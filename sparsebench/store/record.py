"""The outcome of a trial: immutable, versioned, kept even for failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sparsebench.core.files import jsonable
from sparsebench.core.status import FAILURES, Status
from sparsebench.core.trial import Trial
from sparsebench.errors import StoreError
from sparsebench.metrics import PRIMARY

# Record format history:
#   2  `noise` and `audit`
#   1  first version
RECORD_FORMAT = 2


NEVER_REUSED = frozenset({Status.INTERRUPTED, Status.SKIPPED, Status.UNSUPPORTED})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One attempt at one trial.

    measures   flat numbers by column name (design: what a trial records); absent if unknown
    phases     per phase of the worker (import, data, warmup, build, train, topology, eval):
               seconds, peak_rss_bytes
    layers     per layer: shape, initial_connections, connections, stored bytes by purpose
    fingerprint  code: hash of the sources a trial runs; versions: of numpy, scipy, numba
    settings   what the process ran under: threads, memory method, huge pages, blas, threading
               layer of numba; flush_to_zero: whether denormals were zero in all threads, and
               flush_to_zero_in: in those of each pool, both measured after the warm-up
               scans: an update of the topology computes on all K D positions, in tiles
    noise      what disturbed the machine while the trial ran, and `marks`: the words for it
    audit      what the backend declares about its sparsity, beside what was measured
    log_tail   last lines of stderr, if the trial failed
    """

    trial: Trial
    attempt: int
    status: Status
    cause: str = ""
    detail: str = ""
    measures: dict[str, float | int | None] = field(default_factory=dict)
    phases: dict[str, dict[str, float]] = field(default_factory=dict)
    layers: list[dict[str, Any]] = field(default_factory=list)
    data_fingerprint: str = ""
    fingerprint: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    noise: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    ended: str = ""
    contended: bool = False
    debug: bool = False
    log_tail: str = ""
    format: int = RECORD_FORMAT

    @property
    def failed(self) -> bool:
        return self.status in FAILURES

    def to_json(self) -> dict[str, Any]:
        """JSON data; NaN and infinities, which JSON lacks, become strings."""
        data = asdict(self)
        data["trial"] = self.trial.to_json()
        data["status"] = str(self.status)
        cleaned = jsonable(data)
        assert isinstance(cleaned, dict)
        return cleaned

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        data = upgrade(data)
        measures = {key: _number(value) for key, value in data["measures"].items()}
        return cls(
            **{
                **data,
                "trial": Trial.from_json(data["trial"]),
                "status": Status(data["status"]),
                "measures": measures,
            }
        )


def primary_of(record: Record) -> tuple[str, float | None]:
    """The plain name of the metric that its objective is judged by, and its value after the last
    epoch: ("accuracy", 0.93)."""
    name = str(record.settings.get("primary", PRIMARY))
    return name.removeprefix("test_"), record.measures.get(name)


def upgrade(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record of any past format in today's; refuses one from the future by a StoreError."""
    found = data.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"format: expected a whole number from 1, found {found!r:.40}")
    if found > RECORD_FORMAT:
        raise StoreError(
            f"record format {found} is not known; this sparsebench reads formats up to "
            f"{RECORD_FORMAT}: install a newer one"
        )
    for step in _STEPS[found - 1 :]:
        data = step(data)
    return data


def _1_to_2(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**data, "noise": {}, "audit": {}, "format": 2}


_STEPS = (_1_to_2,)
"""From format 1, one after the other."""


def utc_now() -> str:
    """How records, attempts and journals write a moment."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _number(value: Any) -> float | int | None:
    return float(value) if isinstance(value, str) else value
