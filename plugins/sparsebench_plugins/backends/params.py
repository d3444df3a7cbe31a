"""Parameters of the backends. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class ScipyCsrParams:
    """No parameters."""

    truly_sparse: ClassVar[bool] = True
    takes_csr: ClassVar[bool] = True


@dataclass(frozen=True)
class DenseMaskParams:
    """No parameters."""

    truly_sparse: ClassVar[bool] = False


@dataclass(frozen=True)
class NumbaCsrParams:
    """activations  type of hidden layers' outputs and of their gradients; sums are float32
    momenta      type of the weights' optimizer state
    kernels      simd: kernels with explicit vectors; plain: plain loops, the reference
    step         compiled: a training step is one compiled call if all its components support
                 that; layers: always layer by layer, the reference
    """

    activations: Literal["float32", "bfloat16"] = "float32"
    momenta: Literal["float32", "bfloat16"] = "float32"
    kernels: Literal["simd", "plain"] = "simd"
    step: Literal["compiled", "layers"] = "compiled"
    truly_sparse: ClassVar[bool] = True
    takes_csr: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.kernels == "plain" and (self.activations, self.momenta) != ("float32",) * 2:
            raise ValueError("kernels 'plain' takes float32 activations and momenta")
