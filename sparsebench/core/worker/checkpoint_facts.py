"""The pydantic model of a checkpoint's facts. Only a trial that resumes imports it, because it
needs pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Phase(_Strict):
    seconds: float
    peak_rss_bytes: int


class _Meter(_Strict):
    phases: dict[str, _Phase]
    peak_rss_bytes: int
    net_peak_bytes: int | None


class _Position(_Strict):
    epoch: int = Field(ge=1)
    step: int = Field(ge=0)
    start: int = Field(ge=0)
    losses: float


class _Counts(_Strict):
    dropped: list[int]
    grown: list[int]
    pruned: list[int]


class Facts(_Strict):
    """The content of a checkpoint besides its arrays: facts about the attempt and the training.

    laps  seconds of each timer in the current epoch; the name is part of the file format
    """

    attempt: int
    machine: str
    wall_seconds: float
    cpu_seconds: float
    meter: _Meter
    position: _Position
    started: list[int]
    epochs: list[dict[str, Any]]
    laps: dict[str, float]
    counts: _Counts


def read_facts(found: Mapping[str, Any]) -> Facts:
    """Read the facts. Raises a ValueError that names the first wrong key."""
    try:
        return Facts.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"the checkpoint's {where}: {first['msg']}") from None
