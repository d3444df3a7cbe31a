"""The numbers of an optimizer's rule at one step, for kernels."""

from __future__ import annotations

import numpy as np

from sparsebench.core.protocols import Optimizer
from sparsebench_plugins.backends.numba_csr.update_rule import ADAM, KEEP, SGD, Rule
from sparsebench_plugins.optimizers.rules import SGD as Sgd
from sparsebench_plugins.optimizers.rules import Adam


def _rule(kind: int, *, nesterov: bool = False, **given: float) -> Rule:
    names = [name for name in Rule._fields if name not in ("kind", "nesterov")]
    return Rule(
        kind=kind, nesterov=nesterov, **{name: np.float32(given.get(name, 0.0)) for name in names}
    )


KEPT = _rule(KEEP)
"""The gradient is kept."""


def known(optimizer: Optimizer) -> bool:
    """Whether kernels implement this optimizer; others update through their own `update`."""
    return type(optimizer) in (Sgd, Adam)


def of(optimizer: Optimizer, rate: float, t: int) -> Rule:
    """The rule of weights at step t."""
    assert isinstance(optimizer, Sgd | Adam)
    decay = optimizer.weight_decay
    shrink = {
        "coupled": 1.0,
        "decoupled": 1.0 - rate * decay,
        "decoupled-unscaled": 1.0 - decay,
    }[optimizer.decay]
    coupled = decay if optimizer.decay == "coupled" else 0.0
    if isinstance(optimizer, Sgd):
        nesterov = optimizer.nesterov and optimizer.momentum > 0
        return _rule(
            SGD,
            nesterov=nesterov,
            rate=rate,
            coupled=coupled,
            shrink=shrink,
            momentum=optimizer.momentum,
        )
    return _rule(
        ADAM,
        rate=rate / (1 - optimizer.beta1**t),
        coupled=coupled,
        shrink=shrink,
        beta1=optimizer.beta1,
        rest1=1 - optimizer.beta1,
        beta2=optimizer.beta2,
        rest2=1 - optimizer.beta2,
        unbias=1 / (1 - optimizer.beta2**t),
        tiny=optimizer.tiny,
    )
