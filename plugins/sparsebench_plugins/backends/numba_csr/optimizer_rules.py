"""Translates optimizers (SGD, momentum, Adam) into the numbers that kernels need for one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.protocols import Optimizer
from sparsebench_plugins.backends.numba_csr.arguments import ADAM, KEEP, SGD, Rule
from sparsebench_plugins.backends.numba_csr.compiled_step.records import RULE
from sparsebench_plugins.optimizers import SGD as Sgd
from sparsebench_plugins.optimizers import Adam, Kind


def _rule(kind: int, nesterov: bool = False, **given: float) -> Rule:
    names = [name for name in Rule._fields if name not in ("kind", "nesterov")]
    numbers = {name: np.float32(given.get(name, 0.0)) for name in names}
    return Rule(kind=kind, nesterov=nesterov, **numbers)


KEPT = _rule(KEEP)
"""The rule that only stores the gradient and changes no weight."""


def known(optimizer: Optimizer) -> bool:
    """Whether kernels implement this optimizer. For others, the layer calls their own `update`."""
    return type(optimizer) in (Sgd, Adam)


def of(optimizer: Optimizer, rate: float, t: int) -> Rule:
    """The rule for weights at step t."""
    assert isinstance(optimizer, Sgd | Adam)
    decay = {
        "coupled": optimizer.coupled("weight"),
        "shrink": optimizer.shrinkage(rate, "weight"),
    }
    if isinstance(optimizer, Sgd):
        momentum = optimizer.momentum
        nesterov = optimizer.nesterov and momentum > 0
        return _rule(SGD, nesterov, rate=rate, momentum=momentum, **decay)
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    return _rule(
        ADAM, False, rate=rate / (1 - beta1**t), beta1=beta1, rest1=1 - beta1, beta2=beta2,
        rest2=1 - beta2, unbias=1 / (1 - beta2**t), tiny=optimizer.tiny, **decay,
    )  # fmt: skip


def table(optimizer: Optimizer, rates: npt.NDArray[np.float64], t: int) -> npt.NDArray[Any]:
    """(steps, 2) RULE: the rules for weights and for biases at steps t, t + 1, ..., given the
    learning rates of these steps."""
    assert isinstance(optimizer, Sgd | Adam)
    found = np.zeros((rates.size, 2), dtype=RULE)
    kinds: tuple[Kind, Kind] = ("weight", "bias")
    for number, kind in enumerate(kinds):
        rules = found[:, number]
        rules["coupled"] = optimizer.coupled(kind)
        rules["shrink"] = [optimizer.shrinkage(rate, kind) for rate in rates.tolist()]
        if isinstance(optimizer, Sgd):
            rules["kind"], rules["rate"], rules["momentum"] = SGD, rates, optimizer.momentum
            rules["nesterov"] = optimizer.nesterov and optimizer.momentum > 0
        else:
            beta1, beta2 = optimizer.beta1, optimizer.beta2
            steps = np.arange(t, t + rates.size)
            rules["kind"], rules["tiny"] = ADAM, optimizer.tiny
            rules["beta1"], rules["rest1"] = beta1, 1 - beta1
            rules["beta2"], rules["rest2"] = beta2, 1 - beta2
            rules["rate"] = rates / (1 - beta1**steps)
            rules["unbias"] = 1 / (1 - beta2**steps)
    return found
