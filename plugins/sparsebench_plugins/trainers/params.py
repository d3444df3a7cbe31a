"""Parameters of the trainers. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from sparsebench.core.observer import Observer


@dataclass(frozen=True)
class SequentialParams:
    """None."""

    def hidden_from(self, observer: Observer) -> str | None:
        return None


@dataclass(frozen=True)
class CalibrationParams:
    """how  kept until the end, given back after 100 ms, kept by a child process, or kept while
         the process is killed
    mib  MiB that are taken
    """

    how: Literal["held", "spike", "child", "killed"] = "held"
    mib: Annotated[int, Field(gt=0)] = 100
