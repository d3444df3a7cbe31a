"""Computes a topology update from the parts of a method: prunes to the density, drops,
redistributes the dropped connections among the layers, and grows.

If layers do not depend on each other their updates are made one at a time, so that only one layer's
change is in memory. If layers compete, the scores of all are in memory, O(nnz).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.methods.protocols import (
    Candidates,
    DecidesDropCount,
    Drop,
    Grow,
    LayerUpdate,
    Redistribution,
    SetsValues,
)
from sparsebench.core.methods.view import LayerView, NetworkView, State
from sparsebench.core.protocols import Initializer
from sparsebench.core.sparse.csr import Change, CsrPattern
from sparsebench.core.sparse.positions import places, revive
from sparsebench.core.sparse.selection import all_but_smallest, weakest_per_sign_dropped
from sparsebench.errors import PluginError


@dataclass(frozen=True)
class UpdateParts:
    """The parts of a method, and the numbers that they get at one update.

    fraction       fraction of a layer's connections that is dropped
    takes_part     indices of the layers that change, ascending
    targets        number of connections that each layer shall have after the update; None: its
                   present number
    globally       to reach the targets, prune the weakest connections of all layers together
    initial        makes the values of grown connections; None: the model's initializer does
    keeps_regrown  a connection that is dropped and grown in the same update keeps its weight and
                   its optimizer state
    state_kept     factor by which the optimizer's state of kept connections is multiplied
    percolates     hidden neurons without inputs or outputs lose their remaining connections too,
                   and these grow elsewhere; see `percolation`
    settles        a layer stops being updated once this share of its dropped connections is grown
                   again in the same update
    """

    drop: Drop
    grow: Grow
    redistribution: Redistribution
    fraction: float
    takes_part: Sequence[int]
    targets: Sequence[int] | None = None
    globally: bool = False
    initial: Initializer | None = None
    keeps_regrown: bool = False
    state_kept: float = 1.0
    percolates: bool = False
    settles: float | None = None

    def updates(self, network: NetworkView) -> Iterator[LayerUpdate]:
        """Yield the update of each layer, in order; nothing if no layer takes part. A layer that
        does not take part is unchanged."""
        part = [index for index in self.takes_part if not _settled(network.state, index)]
        if part != list(self.takes_part):
            yield from replace(self, takes_part=part).updates(network)
            return
        if not part:
            return
        if self.targets is not None or self.redistribution.shares != "own" or self.percolates:
            yield from self._together(network)
            return
        for index in range(network.count):
            takes_part = index in part
            yield self._alone(network.layer(index)) if takes_part else LayerUpdate()

    def _alone(self, layer: LayerView) -> LayerUpdate:
        keep = self._strongest(self._scores(layer))
        found = self.grow.candidates(layer, keep, _dropped(keep))
        return LayerUpdate(self._change(layer, keep, found), state_kept=self.state_kept)

    def _together(self, network: NetworkView) -> Iterator[LayerUpdate]:
        part, shares = self.takes_part, self.redistribution.shares
        scores = [self._scores(network.layer(index)) for index in part]
        stays = self._after_pruning(scores)
        left = [one[stay] for one, stay in zip(scores, stays, strict=True)]
        if shares == "ranked":
            strongest = _split(self._strongest(np.concatenate(left)), left)
        else:
            strongest = [self._strongest(one) for one in left]
        keeps = [stay.copy() for stay in stays]
        for keep, chosen in zip(keeps, strongest, strict=True):
            keep[keep] = chosen
        if self.percolates:
            keeps = self._percolated(network, keeps)
        dropped = [_dropped(keep) - _dropped(stay) for keep, stay in zip(keeps, stays, strict=True)]
        if shares == "quotas":
            layers = [network.layer(index) for index in part]
            dropped = self.redistribution.quotas(layers, dropped)
        wanted = [n + more for n, more in zip(dropped, self._lacking(stays), strict=True)]
        ranked = self._best_of_all(network, keeps, sum(wanted)) if shares == "ranked" else None
        place = {index: number for number, index in enumerate(part)}
        for index in range(network.count):
            number = place.get(index)
            if number is None:
                yield LayerUpdate()
                continue
            layer, keep = network.layer(index), keeps[number]
            if ranked is None:
                found = self.grow.candidates(layer, keep, wanted[number])
            else:
                found = ranked[number]
            change = self._change(layer, keep, found)
            pruned = min(_dropped(stays[number]), change.dropped)
            yield LayerUpdate(change, pruned, self.state_kept)

    def _scores(self, layer: LayerView) -> Vector:
        """The drop criterion's scores. Raises PluginError for another number of scores than
        connections, or if none is a number."""
        scores, nnz, name = self.drop.scores(layer), layer.W.nnz, type(self.drop).__name__
        if scores.shape != (nnz,):
            raise PluginError(
                f"{name}.scores() gives an array {scores.shape}; layer {layer.index} has {nnz} "
                f"connections: expected {(nnz,)}"
            )
        if nnz and np.isnan(scores).all():
            raise PluginError(f"{name}.scores() gives only nan for layer {layer.index}")
        return scores

    def _strongest(self, scores: Vector) -> Mask:
        return strongest(self.drop, scores, self.fraction)

    def _percolated(self, network: NetworkView, keeps: Sequence[Mask]) -> list[Mask]:
        """The kept connections of the layers that take part, without those of neurons that have no
        inputs or no outputs."""
        patterns = [network.layer(index).W.pattern for index in range(network.count)]
        everything: list[Mask] = [np.ones(pattern.nnz, dtype=bool) for pattern in patterns]
        for index, keep in zip(self.takes_part, keeps, strict=True):
            everything[index] = keep
        found = percolation(patterns, everything, self.takes_part)
        return [found[index] for index in self.takes_part]

    def _after_pruning(self, scores: Sequence[Vector]) -> list[Mask]:
        """A mask of kept connections per layer after pruning to the targets. Signed weights are
        ranked by magnitude."""
        if self.targets is None:
            return [np.ones(one.size, dtype=bool) for one in scores]
        sizes = [np.abs(one) if self.drop.by_sign else one for one in scores]
        surplus = [
            one.size - self.targets[index]
            for index, one in zip(self.takes_part, scores, strict=True)
        ]
        if not self.globally:
            return [all_but_smallest(one, more) for one, more in zip(sizes, surplus, strict=True)]
        return _split(all_but_smallest(np.concatenate(sizes), sum(surplus)), scores)

    def _lacking(self, stays: Sequence[Mask]) -> list[int]:
        """How many connections each layer has to grow to reach its target. If layers are pruned
        together, the number for the whole network is divided among the layers below their
        targets."""
        if self.targets is None:
            return [0] * len(stays)
        lack = [
            self.targets[index] - stay.size
            for index, stay in zip(self.takes_part, stays, strict=True)
        ]
        limits = [max(0, one) for one in lack]
        return share_out(max(0, sum(lack)), limits, limits) if self.globally else limits

    def _best_of_all(
        self, network: NetworkView, keeps: Sequence[Mask], count: int
    ) -> list[Candidates]:
        """The best candidates of all layers. Among equal scores, the earlier layer wins."""
        found, scores = [], []
        for index, keep in zip(self.takes_part, keeps, strict=True):
            candidates = self.grow.candidates(network.layer(index), keep, count)
            if candidates.scores is None:
                raise ValueError(
                    f"{type(self.grow).__name__} gives candidates without scores, so layers "
                    "cannot compete"
                )
            found.append(candidates)
            scores.append(candidates.scores)
        chosen = _split(~all_but_smallest(-np.concatenate(scores), count), scores)
        return [
            Candidates(one.rows[best], one.columns[best])
            for one, best in zip(found, chosen, strict=True)
        ]

    def _change(self, layer: LayerView, keep: Mask, found: Candidates) -> Change:
        rows, columns = found.rows, found.columns
        if self.settles is not None:
            again = np.count_nonzero(places(layer.W.pattern, rows, columns) >= 0)
            if again >= self.settles * max(1, _dropped(keep)):
                layer.state.arrays["settled", layer.index] = np.ones(1, dtype=bool)
        if self.keeps_regrown:
            keep, fresh = revive(layer.W.pattern, keep, rows, columns)
            rows, columns = rows[fresh], columns[fresh]
        initial = layer.initializer if self.initial is None else self.initial
        if isinstance(initial, SetsValues):
            return Change(keep, rows, columns, initial.values_at(layer, keep, rows, columns))
        return Change(keep, rows, columns, initial.draw(layer.W.pattern, rows.size, layer.rng()))


def strongest(drop: Drop, scores: Vector, fraction: float) -> Mask:
    """A mask that is False for the connections to drop: the floor(fraction nnz) weakest, or the
    same fraction of each sign if `drop.by_sign`, or those that a criterion of the kind `Selects`
    chooses."""
    if isinstance(drop, DecidesDropCount):
        return drop.strongest(scores, fraction)
    if drop.by_sign:
        return weakest_per_sign_dropped(scores, fraction)
    return all_but_smallest(scores, int(fraction * scores.size))


def _settled(state: State, index: int) -> bool:
    return ("settled", index) in state.arrays


def percolation(
    patterns: Sequence[CsrPattern], keeps: Sequence[Mask], changes: Sequence[int]
) -> list[Mask]:
    """Masks of the kept connections once hidden neurons without inputs or without outputs lose all
    their connections. Only the masks of the layers in `changes` become smaller."""
    keeps = [keep.copy() for keep in keeps]
    for index in range(len(patterns) - 2, -1, -1):
        above = patterns[index + 1]
        out = np.bincount(above.indices[keeps[index + 1]], minlength=above.shape[1])
        if index in changes:
            keeps[index] &= (out > 0)[patterns[index].rows]
    for index in range(1, len(patterns)):
        below = patterns[index - 1]
        into = np.bincount(below.rows[keeps[index - 1]], minlength=below.shape[0])
        if index in changes:
            keeps[index] &= (into > 0)[patterns[index].indices]
    return keeps


def _dropped(keep: Mask) -> int:
    return keep.size - int(np.count_nonzero(keep))


def _split(together: Mask, layers: Sequence[Vector]) -> list[Mask]:
    """Split a mask over all layers into one per layer."""
    return np.split(together, np.cumsum([one.size for one in layers])[:-1])


def share_out(total: int, weights: Sequence[float], limits: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to the weights, with no part above its limit.

    What exceeds a limit is shared equally among the parts below theirs. Parts are rounded by the
    largest-remainder method; among equal remainders the earlier part is rounded up. Raises
    ValueError if the limits add up to less than the total.
    """
    if total > sum(limits):
        raise ValueError(f"{total} connections do not fit into room for {sum(limits)}")
    whole = sum(weights)
    parts = _rounded(total, [w / whole for w in weights]) if whole > 0 else [0] * len(limits)
    parts = [min(pair) for pair in zip(parts, limits, strict=True)]
    while (over := total - sum(parts)) > 0:
        room = [index for index, part in enumerate(parts) if part < limits[index]]
        for index, more in zip(room, _rounded(over, [1 / len(room)] * len(room)), strict=True):
            parts[index] = min(limits[index], parts[index] + more)
    return parts


def _rounded(total: int, shares: Sequence[float]) -> list[int]:
    """`total` divided into whole parts by these shares, whose sum is 1."""
    exact = [total * share for share in shares]
    parts = [math.floor(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
    for index in order[: total - sum(parts)]:
        parts[index] += 1
    return parts
