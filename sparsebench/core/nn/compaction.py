"""Smaller layers that compute the same: hidden neurons that nothing reaches, or that reach nothing,
are taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern

Parts = tuple[CsrMatrix, Vector]
"""W (K, D) and b (K,) of a layer."""

Outputs = Callable[[int, Vector], Vector]
"""Outputs (K,) of a layer's neurons, by its index, for these pre-activations, in evaluation."""


def compacted(layers: Sequence[Parts], outputs: Outputs) -> tuple[list[Parts], list[Mask]]:
    """The layers without dead neurons, and masks of the neurons that are left, layer by layer.

    A neuron without a way in is a constant, which becomes part of the next layer's biases; that is
    done from the first layer on, so that a neuron that has constants alone for inputs is one too.
    Then neurons without a way out go, from the last layer on. Each layer keeps at least one neuron.
    Inputs and outputs of the network stay as they are.
    """
    matrices = [W for W, _ in layers]
    biases = [bias.copy() for _, bias in layers]
    alive: list[Mask] = [np.ones(W.shape[0], dtype=bool) for W in matrices]
    for index in range(len(layers) - 1):
        constant = matrices[index].pattern.in_degrees() == 0
        constant[0] &= not constant.all()
        if constant.any():
            value = outputs(index, biases[index])
            above = matrices[index + 1]
            fixed = constant[above.indices]
            gain = above.data[fixed].astype(np.float64) * value[above.indices[fixed]]
            biases[index + 1] += np.bincount(above.rows[fixed], gain, above.shape[0]).astype(
                np.float32
            )
            matrices[index + 1] = _kept(above, ~fixed)
            alive[index] &= ~constant
    for index in range(len(layers) - 2, -1, -1):
        leads = matrices[index + 1].pattern.out_degrees() > 0
        leads[np.argmax(alive[index])] |= not (leads & alive[index]).any()
        alive[index] &= leads
        matrices[index] = _kept(matrices[index], alive[index][matrices[index].rows])
    inputs: list[Mask] = [np.ones(matrices[0].shape[1], dtype=bool), *alive[:-1]]
    small = [
        (_renumbered(W, rows, columns), bias[rows])
        for W, bias, rows, columns in zip(matrices, biases, alive, inputs, strict=True)
    ]
    return small, alive


def _kept(W: CsrMatrix, keep: Mask) -> CsrMatrix:
    upto = np.concatenate([[0], np.cumsum(keep)])
    indptr = upto[W.indptr].astype(W.indptr.dtype)
    return CsrMatrix(CsrPattern(W.shape, indptr, W.indices[keep]), W.data[keep])


def _renumbered(W: CsrMatrix, rows: Mask, columns: Mask) -> CsrMatrix:
    """The rows and columns that are left; all connections are between those."""
    place = np.cumsum(columns) - 1
    indptr = np.append(W.indptr[:-1][rows], W.indptr[-1])
    indices = place[W.indices].astype(W.indices.dtype)
    return CsrMatrix(CsrPattern((int(rows.sum()), int(columns.sum())), indptr, indices), W.data)
