"""The outcome of a trial: immutable, versioned, kept even for failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, TypeAdapter

from sparsebench.core.files import jsonable
from sparsebench.core.status import FAILURES, Status
from sparsebench.errors import StoreError
from sparsebench.metrics import PRIMARY
from sparsebench.store.safe_files import parse
from sparsebench.store.schemas import (
    FINGERPRINT,
    MACHINE,
    OPEN,
    Json,
    Measures,
    Positive,
    SoundTrial,
    form,
)

# Record format history:
#   2  `noise` and `audit`
#   1  first version
RECORD_FORMAT = 2

NEVER_REUSED = frozenset({Status.INTERRUPTED, Status.SKIPPED, Status.UNSUPPORTED})

# The values of `claims` in a record's audit; the first two are values of `verdict` too.
TRULY_SPARSE, SIMULATED, UNKNOWN = "truly sparse", "simulated", "unknown"
# The other values of `verdict`.
CONTRADICTED, CANNOT_TELL = "contradicted", "cannot tell"

AUDIT = form(claims=str, verdict=str, why=str, flags=list[str], probe=Json)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One attempt at one trial.

    cause        kind of failure, such as the name of the exception, or of the signal that ended the
                 process (`core.worker.classify`); `detail` is its message
    measures     numbers by column name; None or absent if unknown
    phases       per phase of the worker (import, data, warmup, build, train, topology, eval):
                 seconds, peak_rss_bytes
    layers       per layer: shape, initial_connections, connections, stored bytes by purpose
    fingerprint  code: hash of the sources that the trial runs; versions: of numpy, scipy, numba
    settings     conditions of the process: threads, memory method, huge pages, blas, threading
                 layer of numba; flush_to_zero: whether denormals were zero in all threads, and
                 flush_to_zero_in: in those of each pool, both measured after the warm-up;
                 scans: an update of the topology computes on all K D positions, in tiles;
                 computed_by: name of the program that computed the result, if the trial's topology
                 and backend did not
    noise        what disturbed the machine during the trial, and its `marks`
    audit        what the backend declares about its sparsity, and what was measured
    contended    whether other trials could run on the machine at the same time
    log_tail     last lines of stderr, if the trial failed
    """

    __pydantic_config__: ClassVar[Any] = OPEN | {"extra": "forbid"}

    trial: SoundTrial
    attempt: Positive
    status: Status
    cause: str = ""
    detail: str = ""
    measures: Measures = field(default_factory=dict)
    phases: dict[str, Measures] = field(default_factory=dict)
    layers: list[Annotated[Json, form(repeats=list[float])]] = field(default_factory=list)
    data_fingerprint: str = ""
    fingerprint: Annotated[Json, FINGERPRINT] = field(default_factory=dict)
    settings: Json = field(default_factory=dict)
    noise: Annotated[Json, form(marks=list[str])] = field(default_factory=dict)
    audit: Annotated[Json, AUDIT] = field(default_factory=dict)
    machine: Annotated[Json, MACHINE] = field(default_factory=dict)
    started: str = ""
    ended: str = ""
    contended: bool = False
    debug: bool = False
    log_tail: str = ""
    format: int = RECORD_FORMAT

    @property
    def failed(self) -> bool:
        return self.status in FAILURES

    def to_json(self) -> Json:
        """JSON data; NaN and infinities, which JSON lacks, become strings."""
        cleaned = jsonable(asdict(self) | {"trial": self.trial.to_json()})
        assert isinstance(cleaned, dict)
        return cleaned

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Read a record of any past format; ValueError if it is invalid."""
        return parse(json.dumps(data).encode(), RECORD)


def primary_of(record: Record) -> tuple[str, float | None]:
    """The name of a record's primary metric without `test_`, and its value after the last epoch, or
    None: ("accuracy", 0.93)."""
    name = str(record.settings.get("primary", PRIMARY))
    return name.removeprefix("test_"), record.measures.get(name)


def upgrade(data: Any) -> Any:
    """Convert a record as JSON data from any past format to the current one. Raises StoreError for
    a newer format, and ValueError for a format that is no number from 1."""
    if not isinstance(data, dict):
        return data
    found = data.get("format")
    if type(found) is not int or found < 1:
        raise ValueError(f"format: expected a whole number from 1, found {found!r:.40}")
    if found > RECORD_FORMAT:
        raise StoreError(
            f"record format {found} is not known; this sparsebench reads formats up to "
            f"{RECORD_FORMAT}: install a newer one"
        )
    return data if found > 1 else {**data, "noise": {}, "audit": {}, "format": 2}


RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, BeforeValidator(upgrade)])


def utc_now() -> str:
    """The current time in the format of records, attempts and journals."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
