"""Parameters of the backends, and what their layers store. Free of heavy imports.

`stored` and `transient` are what `core.sizes.SizedBackend` asks for; the tests hold them to
what real layers and processes take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsebench.core.sizes import FLOAT, Bytes, LayerSize, NetworkSize, Transient

NARROW = 8
"""The widest batch that numba-csr needs no second order for."""

BIT_GROUP, CHUNKS, BLOCKS = 16, 64, 8
"""As in numba_csr/layout.py and numba_csr/index.py, which import numpy."""

SCIPY_BLOCK = 256
"""As in scipy_csr.py."""


@dataclass(frozen=True)
class NoParams:
    """None."""


class UnitsOfNumpy:
    """What a backend declares that leaves activations to the model: float32 between layers."""

    def own_units(self) -> bool:
        return False

    def bits(self, K: int, N: int) -> int:
        return 0

    def between(self) -> int:
        return FLOAT


@dataclass(frozen=True)
class ScipyCsrParams(UnitsOfNumpy):
    """None."""

    def stored(self, network: NetworkSize) -> list[Bytes]:
        return [
            {
                "weights": FLOAT * layer.nnz,
                "indices": layer.pattern + layer.index * layer.nnz,
                "optimizer": FLOAT * layer.nnz * network.rule.slots,
                "gradient": FLOAT * layer.nnz,
                "bias": layer.bias(network.rule.slots),
            }
            for layer in network.layers
        ]

    def transient(self, network: NetworkSize) -> list[Transient]:
        """A product is made and then copied; a changed array is made before the old one goes."""
        N, rule = network.widest_batch, network.rule
        found = []
        for layer, stored in zip(network.layers, self.stored(network), strict=True):
            (K, D), array = layer.shape, FLOAT * layer.nnz
            built = sum(stored.values()) - stored["gradient"] - stored["optimizer"]
            found.append(
                Transient(
                    built=built,
                    building=built,
                    stepping=max(
                        FLOAT * N * (K if layer.first else max(K, D)),
                        2 * FLOAT * N * SCIPY_BLOCK,
                        rule.temporary * array,
                    ),
                    change=array * max(1, rule.slots),
                )
            )
        return found

    def work(self, layer: LayerSize) -> int:
        return layer.nnz


@dataclass(frozen=True)
class DenseMaskParams(UnitsOfNumpy):
    """None."""

    def stored(self, network: NetworkSize) -> list[Bytes]:
        return [
            {
                "weights": FLOAT * self.work(layer),
                "mask": FLOAT * self.work(layer),
                "indices": layer.pattern,
                "optimizer": FLOAT * self.work(layer) * network.rule.slots,
                "gradient": FLOAT * self.work(layer),
                "bias": layer.bias(network.rule.slots),
            }
            for layer in network.layers
        ]

    def transient(self, network: NetworkSize) -> list[Transient]:
        """Memory that is zero is not there until it is written: gradient and state come with
        the first step."""
        found = []
        for layer, stored in zip(network.layers, self.stored(network), strict=True):
            built = sum(stored.values()) - stored["gradient"] - stored["optimizer"]
            listed = (layer.index + FLOAT) * layer.nnz
            found.append(
                Transient(
                    built=built,
                    building=built + listed,
                    stepping=network.rule.temporary * FLOAT * self.work(layer),
                    change=listed + layer.nnz,
                )
            )
        return found

    def work(self, layer: LayerSize) -> int:
        return layer.shape[0] * layer.shape[1]


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

    def stored(self, network: NetworkSize) -> list[Bytes]:
        """One order of the connections, or two where a batch is larger than NARROW."""
        wide = network.batches[0] > NARROW
        scratch = self._scratch(network)
        found = []
        for layer, shared in zip(network.layers, scratch, strict=True):
            D, n = layer.shape[1], layer.nnz
            by_column = layer.index * (D + 1 + 2 * n) if wide else 0
            cuts = 8 * (3 * (CHUNKS + 1) + 2 * (BLOCKS + 1))
            found.append(
                {
                    "weights": FLOAT * n * (2 if wide else 1),
                    "indices": layer.pattern + by_column + cuts,
                    "optimizer": self._momentum() * n * network.rule.slots,
                    "gradient": 0 if network.rule.kernel else FLOAT * n,
                    "bias": layer.bias(network.rule.slots),
                    "scratch": shared,
                }
            )
        return found

    def transient(self, network: NetworkSize) -> list[Transient]:
        """The second order is given up while the first one changes, and made anew after that."""
        wide, slots = network.batches[0] > NARROW, network.rule.slots
        found = []
        for layer in network.layers:
            n = layer.nnz
            built = layer.pattern + FLOAT * n + layer.bias(slots)
            counts = layer.index * BLOCKS * layer.shape[1]
            ordering = max(0, counts - FLOAT * n)
            found.append(
                Transient(
                    built=built,
                    building=built,
                    stepping=0 if network.rule.kernel else network.rule.temporary * FLOAT * n,
                    change=ordering if wide else (layer.index + FLOAT) * n,
                )
            )
        return found

    def own_units(self) -> bool:
        return True

    def bits(self, K: int, N: int) -> int:
        return K * -(-N // BIT_GROUP) * (BIT_GROUP // 8)

    def between(self) -> int:
        return 2 if self.activations == "bfloat16" else 4

    def work(self, layer: LayerSize) -> int:
        return layer.nnz

    def _momentum(self) -> int:
        return 2 if self.momenta == "bfloat16" else 4

    def _scratch(self, network: NetworkSize) -> list[int]:
        """One piece of memory for all layers, in the name of the one that it last grew for."""
        found = [0] * len(network.layers)
        if network.batches[0] > NARROW:
            return found
        largest, owner = 0, 0
        for number, layer in reversed(list(enumerate(network.layers))):
            size = 0 if layer.first else FLOAT * BLOCKS * layer.shape[1] * network.batches[0]
            if size > largest:
                largest, owner = size, number
        found[owner] = largest
        return found
