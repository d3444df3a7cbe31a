"""What units without trainable parameters share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.protocols import Optimizer

Vector = npt.NDArray[np.float32]


class Untrained:
    """Nothing here is trained."""

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        """Nothing to do."""

    def parameters(self) -> dict[str, Vector]:
        return {}

    def gradients(self) -> dict[str, Vector]:
        return {}
