"""The numbers of an update rule that kernels take.

Kernels import this and no optimizer, so that editing an optimizer compiles nothing anew.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

KEEP, SGD, ADAM = 0, 1, 2
"""A kernel keeps the gradient, or updates the weights by SGD or Adam."""


class Rule(NamedTuple):
    """shrink: 1 - decoupled decay; unbias, rate: with Adam's corrections at this step."""

    kind: int
    rate: np.float32
    coupled: np.float32
    shrink: np.float32
    momentum: np.float32
    nesterov: bool
    beta1: np.float32
    rest1: np.float32
    beta2: np.float32
    rest2: np.float32
    unbias: np.float32
    tiny: np.float32
