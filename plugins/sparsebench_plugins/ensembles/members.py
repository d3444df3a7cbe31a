"""Members of an ensemble: copies of a network in training, their joint predictions, and their
average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Vector
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.core.sparse.selection import all_but_smallest
from sparsebench.core.training.work import Work

Probabilities = npt.NDArray[np.float64]

BINS = 15
"""The number of bins of the confidence, for the calibration error."""


@dataclass(frozen=True, eq=False)
class Member:
    """A copy of a network: the weights and biases of each layer, and `learnt`, the trained
    parameters of activations."""

    weights: list[CsrMatrix]
    biases: list[Vector]
    learnt: list[Vector]

    @classmethod
    def of(cls, network: Network) -> Member:
        found = [(layer.weights(), layer.bias()) for layer in network.layers]
        return cls(
            [CsrMatrix(W.pattern, W.data.copy()) for W, _ in found],
            [bias.copy() for _, bias in found],
            [value.copy() for value in network.parameters().values()],
        )

    @property
    def connections(self) -> int:
        return sum(W.nnz for W in self.weights)

    def network(self, work: Work) -> Network:
        layers = [
            work.backend.layer(CsrMatrix(W.pattern, W.data.copy()), bias.copy(), work.optimizer)
            for W, bias in zip(self.weights, self.biases, strict=True)
        ]
        made = work.network(layers)
        for value, learnt in zip(made.parameters().values(), self.learnt, strict=True):
            value[...] = learnt
        return made


def probabilities(work: Work, member: Member) -> Probabilities:
    """(classes, samples) the member's predicted probabilities for the test part."""
    network, test, found = member.network(work), work.data.test, []
    for start in range(0, len(test), work.batch_size):
        X, _ = test.batch(np.arange(start, min(start + work.batch_size, len(test))))
        Z = network.outputs(X).astype(np.float64)
        P = np.exp(Z - Z.max(axis=0))
        found.append(P / P.sum(axis=0))
    return np.concatenate(found, axis=1)


def accuracy(P: Probabilities, labels: npt.NDArray[np.int64]) -> float:
    return float((P.argmax(axis=0) == labels).mean())


def calibration_error(P: Probabilities, labels: npt.NDArray[np.int64]) -> float:
    """The expected calibration error: the mean difference between confidence and accuracy over bins
    of the confidence. Guo et al. (2017), arXiv 1706.04599, eq. 3."""
    confidence, right = P.max(axis=0), P.argmax(axis=0) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    apart = np.bincount(bins, confidence - right, BINS)
    return float(np.abs(apart).sum() / labels.size)


def disagreement(found: Sequence[Probabilities]) -> float:
    """The share of samples for which two members predict different classes, averaged over all pairs
    of members."""
    classes = [P.argmax(axis=0) for P in found]
    return float(np.mean([(a != b).mean() for a, b in combinations(classes, 2)]))


def average(members: Sequence[Member], merge: Literal["mean", "largest"]) -> Member:
    """Merge the members into one network.

    Each layer gets the members' mean number of connections: those with the largest weights.

    merge  "mean": a connection's weight is the mean over all members, where a member without the
           connection counts as 0; "largest": the weight in the last member that has it
    """
    weights = []
    for layers in zip(*(member.weights for member in members), strict=True):
        keys = np.concatenate([W.pattern.keys() for W in layers])
        data = np.concatenate([W.data for W in layers])
        union, place = np.unique(keys, return_inverse=True)
        values = np.zeros(union.size, dtype=np.float32)
        if merge == "mean":
            values = (np.bincount(place, data, union.size) / len(members)).astype(np.float32)
        else:
            values[place] = data  # the last of equal places stays
        target = round(keys.size / len(members))
        keep = all_but_smallest(np.abs(values), union.size - target)
        pattern = CsrPattern.from_keys(layers[0].shape, union[keep])
        weights.append(CsrMatrix(pattern, values[keep]))
    return Member(
        weights,
        [np.mean(each, axis=0) for each in zip(*(one.biases for one in members), strict=True)],
        [np.mean(each, axis=0) for each in zip(*(one.learnt for one in members), strict=True)],
    )
