"""Parameters of the backends. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NoParams:
    """None."""


@dataclass(frozen=True)
class NumbaCsrParams:
    """activations  of hidden layers, and the gradients that travel back; sums are float32
    momenta      the optimizer's state of the weights
    kernels      simd: explicit vectors; plain: loops, their twins
    """

    activations: Literal["float32", "bfloat16"] = "float32"
    momenta: Literal["float32", "bfloat16"] = "float32"
    kernels: Literal["simd", "plain"] = "simd"

    def __post_init__(self) -> None:
        if self.kernels == "plain" and (self.activations, self.momenta) != ("float32",) * 2:
            raise ValueError("kernels 'plain' takes float32 activations and momenta")
