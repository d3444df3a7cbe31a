"""Truly sparse layers with numba kernels, and the choice of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import config

from sparsebench.core.arrays import Vector
from sparsebench.core.nn.buffers import Buffer
from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.protocols import CompiledStep, Layer, Loss, Optimizer, Unit
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench_plugins.backends.numba_csr.activation_unit import NumbaUnit
from sparsebench_plugins.backends.numba_csr.layer import NumbaCsrLayer
from sparsebench_plugins.backends.params import NumbaCsrParams

DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(np.uint16),
}


class NumbaCsr(NumbaCsrParams):
    """Layers that keep their connections in csr and by column for batches above 8 samples, or in
    blocks for smaller ones; see `layer.NumbaCsrLayer`."""

    @property
    def activation_dtype(self) -> np.dtype[Any]:
        """Type of the arrays between two layers; bfloat16 is stored as its bits."""
        return DTYPES[self.activations]

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> NumbaCsrLayer:
        return NumbaCsrLayer(W, bias, optimizer, self._kernels(), DTYPES[self.momenta])

    def unit(self, negative_slope: float, dropout: Dropout | None) -> NumbaUnit:
        return NumbaUnit(negative_slope, dropout, self._kernels())

    def compiled_step(
        self,
        layers: Sequence[Layer],
        units: Sequence[Unit],
        loss: Loss,
        optimizer: Optimizer,
        activations: Sequence[Buffer],
    ) -> CompiledStep | None:
        if (
            self.step == "layers"
            or self.kernels == "plain"
            or getattr(config, "DISABLE_JIT", False)
        ):
            return None
        from sparsebench_plugins.backends.numba_csr.compiled_step.compiled import Programs

        return Programs.of(layers, units, loss, optimizer, activations)

    def _kernels(self) -> Any:
        """The kernel functions. Plain loops if numba's JIT is disabled, as by debuggers and some
        tests, because explicit vectors cannot run as plain Python."""
        return kernel_functions("plain" if getattr(config, "DISABLE_JIT", False) else self.kernels)


def kernel_functions(name: str) -> Any:
    """The kernel functions by name: those of `plain`, or those with explicit vectors ("simd")."""
    if name == "plain":
        from sparsebench_plugins.backends.numba_csr import csr_input_plain, plain

        return SimpleNamespace(**(vars(plain) | vars(csr_input_plain)))
    from sparsebench_plugins.backends.numba_csr import (
        activation_kernels,
        csr_input,
        large_batch,
        small_batch,
    )

    return SimpleNamespace(
        activate=activation_kernels.activate,
        deactivate=activation_kernels.deactivate,
        forward=large_batch.forward,
        backward=large_batch.backward,
        sum_rows=large_batch.sum_rows,
        small_batch_forward=small_batch.forward,
        small_batch_backward=small_batch.backward,
        by_feature=csr_input.by_feature,
        catch_up_present=csr_input.catch_up_present,
        catch_up_all=csr_input.catch_up_all,
        csr_forward=csr_input.csr_forward,
        csr_backward=csr_input.csr_backward,
    )
