"""The contents of a checkpoint, from which training resumes: a position in training, and arrays.

The state of random generators need not be stored: each stream is named by seed, purpose and epoch
or step, so the position is enough. A checkpoint takes O(nnz): each layer's csr arrays and bias, the
optimizer's state of layers and units, and which neurons were pruned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sparsebench.core.arrays import Array, Mask
from sparsebench.core.protocols import Network, Shape
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern

if TYPE_CHECKING:
    from sparsebench.core.archive import Archive


@dataclass(frozen=True, kw_only=True)
class Position:
    """A position in training between two steps.

    epoch   the current epoch, from 1
    start   number of its samples that have been trained on
    losses  sum of the losses of these samples
    step    number of steps made in all epochs
    """

    epoch: int = 1
    start: int = 0
    step: int = 0
    losses: float = 0.0


class Keeper(Protocol):
    """Writes checkpoints, and has the one to resume from."""

    @property
    def found(self) -> Archive | None:
        """The checkpoint to resume from; None to start at the beginning."""

    def due(self) -> bool:
        """Whether the next checkpoint is due. Cheap to call."""

    def keep(self, facts: Mapping[str, Any], arrays: Iterator[tuple[str, Array]]) -> None: ...


def network_arrays(network: Network) -> Iterator[tuple[str, Array]]:
    """Yield weights, biases and all other arrays that the next step depends on."""
    for number, layer in enumerate(network.layers, 1):
        W = layer.weights()
        yield f"layer{number}.indptr", W.indptr
        yield f"layer{number}.indices", W.indices
        yield f"layer{number}.data", W.data
        yield f"layer{number}.bias", layer.bias()
    yield from network.saved()


def saved_layers(
    found: Mapping[str, Array], shapes: Sequence[Shape]
) -> Iterator[tuple[CsrMatrix, Array]]:
    """Yield the saved weights and bias of each layer, checked. Raises ValueError if they do not
    fit, and KeyError if one is missing.

    shapes  (K, D) of the layers when training began; dead neurons may have been removed since
    """
    D = shapes[0][1] if shapes else 0
    for number, (most, _) in enumerate(shapes, 1):
        indptr, indices = found[f"layer{number}.indptr"], found[f"layer{number}.indices"]
        neurons = indptr.size - 1
        if not 1 <= neurons <= most or (number == len(shapes) and neurons < most):
            raise ValueError(f"layer {number} has {neurons} neurons saved for {most}")
        W = CsrMatrix(CsrPattern((neurons, D), indptr, indices), found[f"layer{number}.data"])
        W.validate()
        yield W, found[f"layer{number}.bias"]
        D = neurons


def flags(masks: list[Mask]) -> Iterator[tuple[str, Array]]:
    """Yield a name and the mask (K,) of each layer's pruned neurons, packed into bits."""
    for number, mask in enumerate(masks, 1):
        yield f"layer{number}.removed", np.packbits(mask)


def saved_flags(found: Mapping[str, Array], number: int, size: int) -> Mask:
    return np.unpackbits(found[f"layer{number}.removed"], count=size).astype(bool)
