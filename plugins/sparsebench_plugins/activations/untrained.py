"""A base class of units without trainable parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sparsebench.core.arrays import Vector
from sparsebench.core.protocols import Optimizer


class Untrained:
    """Nothing here is trained."""

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        """Nothing to do."""

    def parameters(self) -> dict[str, Vector]:
        return {}

    def gradients(self) -> dict[str, Vector]:
        return {}

    def saved(self) -> Iterator[tuple[str, Vector]]:
        return iter(())

    def restore(self, saved: Mapping[str, Vector]) -> None:
        """Nothing to do."""
