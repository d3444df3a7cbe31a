"""Parameters of the losses, and what they compare with. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class OfLabels:
    """No parameters; compares with labels."""

    targets: ClassVar[Literal["labels"]] = "labels"


@dataclass(frozen=True)
class OfVectors:
    """No parameters; compares with a number for each output."""

    targets: ClassVar[Literal["vectors"]] = "vectors"


@dataclass(frozen=True)
class OfFlags:
    """No parameters; compares with 0 or 1 for each output."""

    targets: ClassVar[Literal["flags"]] = "flags"
