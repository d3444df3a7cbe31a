"""Finds hidden neurons without inputs or without outputs, and makes smaller layers without them
that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern

Parts = tuple[CsrMatrix, Vector]
"""W (K, D) and b (K,) of a layer."""

Outputs = Callable[[int, Vector], Vector]
"""Called with a layer's index and pre-activations (K,); returns the layer's outputs (K,) as in
evaluation."""


def living_neurons(layers: Sequence[Parts], outputs: Outputs) -> tuple[list[Mask], list[Vector]]:
    """For each layer, a mask (K,) of the neurons that are not dead, and the biases (K,) of all its
    neurons, in which the outputs of dead neurons of the layer before are included.

    A neuron without inputs has a constant output, which is added to the next layer's biases. Layers
    are visited from first to last, so that a neuron whose inputs are all constant is constant too.
    Then neurons without outputs are removed, from the last layer to the first. Each layer keeps at
    least one neuron. The network's own inputs and outputs are never removed.
    """
    biases = [bias.copy() for _, bias in layers]
    ends = masks_with_inputs(
        [np.ones(W.shape[0], dtype=bool) for W, _ in layers], layers[0][0].shape[1]
    )
    for index, (W, _) in enumerate(layers[:-1]):
        constant = np.ones(W.shape[0], dtype=bool)
        constant[W.rows[ends[index][W.indices]]] = False
        constant[0] &= not constant.all()
        if constant.any():
            value = outputs(index, biases[index])
            above = layers[index + 1][0]
            fixed = constant[above.indices]
            gain = above.data[fixed].astype(np.float64) * value[above.indices[fixed]]
            added = np.bincount(above.rows[fixed], gain, above.shape[0])
            biases[index + 1] += added.astype(np.float32)
            ends[index + 1] &= ~constant
    for index in range(len(layers) - 2, -1, -1):
        above, alive = layers[index + 1][0], ends[index + 1]
        leads = np.zeros(alive.size, dtype=bool)
        leads[above.indices[ends[index + 2][above.rows]]] = True
        leads[np.argmax(alive)] |= not (leads & alive).any()
        alive &= leads
    return ends[1:], biases


def masks_with_inputs(alive: Sequence[Mask], inputs: int) -> list[Mask]:
    """The masks of the layers' neurons, preceded by one that keeps all inputs of the network: mask
    l is over the inputs of layer l, and mask l + 1 over its outputs."""
    return [np.ones(inputs, dtype=bool), *alive]


def connections_between(W: CsrMatrix, columns: Mask, rows: Mask) -> Mask:
    """(nnz,) True for connections from one of these inputs to one of these outputs."""
    return rows[W.rows] & columns[W.indices]


def renumbered(W: CsrMatrix, columns: Mask, rows: Mask) -> CsrMatrix:
    """W with only the inputs (D,) and outputs (K,) that are True. The others must have no
    connections."""
    place = np.cumsum(columns) - 1
    indptr = np.append(W.indptr[:-1][rows], W.indptr[-1])
    indices = place[W.indices].astype(W.indices.dtype)
    return CsrMatrix(CsrPattern((int(rows.sum()), int(columns.sum())), indptr, indices), W.data)


def compacted(layers: Sequence[Parts], outputs: Outputs) -> tuple[list[Parts], list[Mask]]:
    """The layers without dead neurons, and for each layer a mask (K,) of the remaining neurons."""
    alive, biases = living_neurons(layers, outputs)
    ends = pairwise(masks_with_inputs(alive, layers[0][0].shape[1]))
    small = [
        (renumbered(_kept(W, connections_between(W, *sides)), *sides), bias[sides[1]])
        for (W, _), bias, sides in zip(layers, biases, ends, strict=True)
    ]
    return small, alive


def _kept(W: CsrMatrix, keep: Mask) -> CsrMatrix:
    upto = np.concatenate([[0], np.cumsum(keep)])
    indptr = upto[W.indptr].astype(W.indptr.dtype)
    return CsrMatrix(CsrPattern(W.shape, indptr, W.indices[keep]), W.data[keep])
