"""Base classes of losses by the kind of their targets; they are also the losses' parameter classes.

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class OfLabels:
    """A label for each sample."""

    targets: ClassVar[Literal["labels"]] = "labels"


@dataclass(frozen=True)
class OfVectors:
    """A number for each output."""

    targets: ClassVar[Literal["vectors"]] = "vectors"


@dataclass(frozen=True)
class OfFlags:
    """0 or 1 for each output."""

    targets: ClassVar[Literal["flags"]] = "flags"
