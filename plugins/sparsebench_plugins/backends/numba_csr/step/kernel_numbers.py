"""Which losses and units have kernels, and by which numbers the kernels know them.

Apart from the kernels, so that editing a loss or a unit compiles nothing anew.
"""

from __future__ import annotations

from sparsebench.core.protocols import Loss, Unit
from sparsebench_plugins.activation_units import SmoothUnit, SReluUnit, sigmoid, tanh
from sparsebench_plugins.backends.numba_csr.step.losses import (
    BINARY,
    CROSS_ENTROPY,
    LINEAR,
    SQUARED,
)
from sparsebench_plugins.backends.numba_csr.step.smooth_activations import SIGMOID, SRELU, TANH
from sparsebench_plugins.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    LinearSquaredError,
    SquaredError,
)

LOSSES: dict[type, int] = {
    CrossEntropy: CROSS_ENTROPY,
    SquaredError: SQUARED,
    LinearSquaredError: LINEAR,
    BinaryCrossEntropy: BINARY,
}


def loss_number(loss: Loss) -> int | None:
    """None if the loss has no kernel."""
    return LOSSES.get(type(loss))


def takes_labels(number: int) -> bool:
    """Whether the targets of this loss are classes."""
    return number in (CROSS_ENTROPY, SQUARED)


def curve_number(unit: Unit) -> int | None:
    """Of an activation that goes behind a layer's kernel; None if it has no kernel."""
    if type(unit) is SReluUnit:
        return SRELU
    if type(unit) is not SmoothUnit:
        return None
    return TANH if unit.function is tanh else SIGMOID if unit.function is sigmoid else None
