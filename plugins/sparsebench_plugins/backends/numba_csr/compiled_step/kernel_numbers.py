"""The numbers by which kernels identify losses and activation units; those without a number have no
kernel.

This is separate from the kernels, so that editing a loss or a unit recompiles no kernel.
"""

from __future__ import annotations

from sparsebench.core.protocols import Loss, Unit
from sparsebench_plugins.activation_units import SmoothUnit, SReluUnit, sigmoid, tanh
from sparsebench_plugins.backends.numba_csr.compiled_step.losses import (
    BINARY,
    CROSS_ENTROPY,
    LINEAR,
    SQUARED,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.smooth_activations import (
    SIGMOID,
    SRELU,
    TANH,
)
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
    """The number of a loss; None if it has no kernel."""
    return LOSSES.get(type(loss))


def takes_labels(number: int) -> bool:
    """Whether the targets of this loss are classes."""
    return number in (CROSS_ENTROPY, SQUARED)


def activation_number(unit: Unit) -> int | None:
    """The number of an activation that is not part of a layer's kernel; None if it has no
    kernel."""
    if type(unit) is SReluUnit:
        return SRELU
    if type(unit) is not SmoothUnit:
        return None
    return TANH if unit.function is tanh else SIGMOID if unit.function is sigmoid else None
