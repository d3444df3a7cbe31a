"""The defaults of a trial: its components, and its values that are not components."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from sparsebench.core.trial import DEFAULT_OBJECTIVE, SCALINGS, fold_of
from sparsebench.cores_and_threads import default_threads
from sparsebench.units import seconds, size

DEFAULT_NAMES = {
    "model": "mlp",
    "topology": "dense",
    "optimizer": "sgd",
    "trainer": "sequential",
    "backend": "numba-csr",
    "objective": DEFAULT_OBJECTIVE,
}
"""The default component of each kind."""

Whole0 = Annotated[int, Strict(), Field(ge=0, description="a whole number from 0")]
Whole1 = Annotated[int, Strict(), Field(ge=1, description="a whole number from 1")]
Share = Annotated[float, Strict(), Field(ge=0, lt=1, description="a share from 0 to less than 1")]


def _fold(text: str) -> str:
    fold_of(text)
    return text


Fold = Annotated[str, Strict(), AfterValidator(_fold), Field(description="a fold such as '2/5'")]
Flag = Annotated[bool, Strict(), Field(description="true or false")]
Seconds = Annotated[float, BeforeValidator(seconds)]
Bytes = Annotated[int, BeforeValidator(size)]


@dataclass(frozen=True, kw_only=True)
class TrialValues:
    """The values of a trial that are not components, with their defaults. `core.trial.Trial` has
    their meanings and units."""

    epochs: Whole1
    batch_size: Whole1 = 128
    threads: Whole1 = field(default_factory=default_threads)
    seed: Whole0 = 0
    split_seed: Whole0 | None = None
    fold: Fold | None = None
    validation: Share = 0.0
    huge_pages: Flag = False
    scaling: Literal["feature", "data", "range", "none"] = SCALINGS[0]  # type: ignore[assignment]
    timeout: Seconds | None = None
    memory_limit: Bytes | None = None
    retries: Whole0 = 0
    checkpoint: Seconds | None = None
    keep_model: Flag | None = None


EXECUTOR = "local"

CALIBRATION: dict[str, Any] = {
    "dataset": {
        "name": "microarray-like", "samples": 8, "features": 4, "informative": 2, "classes": 2
    },
    "model": {"hidden": [2]},
    "backend": "dense-mask",
    "trainer": {"name": "calibration"},
    "epochs": 1,
    "batch_size": 4,
    "threads": 1,
}  # fmt: skip
"""The trial, as a suite's [trial] gives it, of `sparsebench doctor --calibrate`. It is as small as
possible except for its trainer, which takes a known amount of memory."""
