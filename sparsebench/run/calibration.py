"""Checks whether memory is measured correctly on this machine, with trials that allocate a known
amount.

The trials run as usual, in processes of their own under the supervisor, but nothing is stored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins
from sparsebench.run.supervisor import supervise
from sparsebench.suite.defaults import CALIBRATION
from sparsebench.suite.suite import Suite
from sparsebench.suite.trial_builder import Builder

MIB = 2**20

SHARE = 0.01
FLOOR = 2 * MIB
"""An error may be up to SHARE of the allocated bytes (1 %) or FLOOR bytes (2 MiB), whichever is
more."""

TIMEOUT = 30.0

PARENT = 1024
"""MiB that the supervisor holds in the last case: they must not be charged to the trial."""

COMFORTABLE = 2 * PARENT * MIB
"""Bytes of available memory for the full sizes; with less, all sizes shrink alike."""


@dataclass(frozen=True)
class Case:
    """A trial that allocates `mib` MiB.

    how       "held": until it ends; "spike": freed after 100 ms; "child": by a child process;
              "killed": the trial then kills itself
    quantity  name of the measure that is compared with `mib`
    parent    MiB that the supervisor holds while the trial runs
    """

    name: str
    how: str
    mib: int
    quantity: str
    parent: int = 0


@dataclass(frozen=True)
class Reading:
    """Allocated (`known`) and measured bytes of a case. `measured` is None if the trial did not end
    as intended or the measure is missing; `status` and `detail` say how it ended."""

    case: Case
    known: int
    measured: int | None
    status: str
    detail: str = ""

    @property
    def error(self) -> int | None:
        return None if self.measured is None else self.measured - self.known

    @property
    def within(self) -> bool:
        return self.error is not None and abs(self.error) <= max(SHARE * self.known, FLOOR)


def cases(available: int) -> list[Case]:
    """The cases, in sizes that fit into `available` bytes of memory."""
    share = min(1.0, available / COMFORTABLE)

    def fitting(mib: int) -> int:
        return max(1, int(mib * share))

    held, parent = fitting(100), fitting(PARENT)
    return [
        Case("held", "held", fitting(24), "net_peak_bytes"),
        Case("held", "held", held, "net_peak_bytes"),
        Case("spike of 100 ms", "spike", fitting(400), "net_peak_bytes"),
        Case("held by a child", "child", held, "peak_tree_pss_bytes"),
        Case("held, then killed", "killed", held, "peak_rss_bytes"),
        Case(f"held, supervisor holds {parent} MiB", "held", held, "net_peak_bytes", parent),
    ]


def calibrate(plugins: Plugins, data_dir: Path, available: int | None = None) -> Iterator[Reading]:
    """Run the cases and yield a reading for each.

    available  bytes of memory that may be used; None: what the machine has available
    """
    room = available if available is not None else machine.available_memory()
    rest: int | None = None
    for case in cases(room):
        outcome = _run(case, plugins, data_dir)
        measures = outcome["measures"]
        if case.how == "held" and measures.get("peak_rss_bytes") and rest is None:
            rest = measures["peak_rss_bytes"] - case.mib * MIB
        yield _reading(case, outcome, rest)


def _reading(case: Case, outcome: Mapping[str, Any], rest: int | None) -> Reading:
    """The reading of a case from the outcome of its trial.

    rest  resident bytes of a calibrating trial besides its allocation, for a trial that was killed
          and could not report them
    """
    measures = outcome["measures"]
    floor = {"child": measures.get("calibration_floor_bytes"), "killed": rest}.get(case.how, 0)
    found = measures.get(case.quantity)
    status = str(outcome["status"])
    expected = "killed" if case.how == "killed" else "ok"
    known = status == expected and found is not None and floor is not None
    measured = found - floor if known else None
    return Reading(case, case.mib * MIB, measured, status, outcome["detail"])


def _run(case: Case, plugins: Plugins, data_dir: Path) -> Mapping[str, Any]:
    ballast = b"\1" * (case.parent * MIB)  # written, so resident
    with tempfile.TemporaryDirectory(prefix="sparsebench-") as folder:
        job = Job(
            trial=_trial(case, plugins, data_dir), folder=Path(folder) / "1", data_dir=data_dir
        )
        outcome = supervise(job)
    del ballast
    return outcome


def _trial(case: Case, plugins: Plugins, data_dir: Path) -> Trial:
    trainer = {**CALIBRATION["trainer"], "how": case.how, "mib": case.mib}
    builder = Builder(Suite(name="known amounts of memory", trial={}), plugins, data_dir)
    return replace(builder.trial({**CALIBRATION, "trainer": trainer}, {}), timeout=TIMEOUT)
