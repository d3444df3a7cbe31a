"""Applies a method's parts to a network: prune to the density, drop, share out, grow.

Where no layer depends on another they are taken one at a time, so that no more than one layer's
change is held; where layers compete, scores of all are held, O(nnz).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.methods.protocols import Candidates, Drop, Grow, LayerUpdate, Redistribution
from sparsebench.core.methods.view import LayerView, NetworkView
from sparsebench.core.protocols import Initializer
from sparsebench.core.sparse.criteria import all_but_smallest, weakest_per_sign_dropped
from sparsebench.core.sparse.csr import Change
from sparsebench.core.sparse.positions import revive

Masks = Mapping[int, Mask]


@dataclass(frozen=True)
class Sentence:
    """The parts of one update.

    fraction       of a layer's connections, that is dropped
    takes_part     indices of the layers that change, rising
    targets        connections that each layer is to have; None: as many as it has
    globally       what leaves for good is chosen over all layers at once
    initial        values of grown connections; None: as the model's initializer
    keeps_regrown  a dropped connection that grows again keeps its weight and optimizer state
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


def updates(sentence: Sentence, network: NetworkView) -> Iterator[LayerUpdate]:
    """The update of each layer, in order. A layer that does not take part is unchanged."""
    if sentence.targets is None and sentence.redistribution.shares == "own":
        for index in range(network.count):
            takes_part = index in sentence.takes_part
            yield _alone(sentence, network.layer(index)) if takes_part else LayerUpdate()
        return
    yield from _together(sentence, network)


def _alone(sentence: Sentence, layer: LayerView) -> LayerUpdate:
    drop = sentence.drop
    keep = _strongest(drop.scores(layer), sentence.fraction, by_sign=drop.by_sign)
    found = sentence.grow.candidates(layer, keep, _dropped(keep))
    return LayerUpdate(_change(sentence, layer, keep, found))


def _together(sentence: Sentence, network: NetworkView) -> Iterator[LayerUpdate]:
    part = sentence.takes_part
    scores = {index: sentence.drop.scores(network.layer(index)) for index in part}
    stays = _after_pruning(sentence, network, scores)
    pruned = {index: _dropped(stays[index]) for index in part}
    keeps = _after_drop(sentence, scores, stays)
    wanted = _wanted(sentence, network, stays, keeps)
    ranked = None
    if sentence.redistribution.shares == "ranked":
        ranked = _best_of_all(sentence.grow, network, keeps, sum(wanted.values()))
    for index in range(network.count):
        if index not in keeps:
            yield LayerUpdate()
            continue
        layer, keep = network.layer(index), keeps[index]
        if ranked is None:
            found = sentence.grow.candidates(layer, keep, wanted[index])
        else:
            found = ranked[index]
        change = _change(sentence, layer, keep, found)
        yield LayerUpdate(change, min(pruned[index], change.dropped))


# --- drop ------------------------------------------------------------------------------


def _after_pruning(sentence: Sentence, network: NetworkView, scores: Mapping[int, Vector]) -> Masks:
    """A mask of kept connections per layer, after pruning the network down to its targets."""
    part, targets = sentence.takes_part, sentence.targets
    if targets is None:
        return {index: np.ones(scores[index].size, dtype=bool) for index in part}
    surplus = {index: scores[index].size - targets[index] for index in part}
    by_size = {index: _by_size(sentence.drop, scores[index]) for index in part}
    if not sentence.globally:
        return {index: all_but_smallest(by_size[index], surplus[index]) for index in part}
    together = np.concatenate([by_size[index] for index in part])
    return _taken_apart(all_but_smallest(together, sum(surplus.values())), scores)


def _by_size(drop: Drop, scores: Vector) -> Vector:
    """Rank scores; signed weights are ranked by magnitude."""
    return np.abs(scores) if drop.by_sign else scores


def _after_drop(sentence: Sentence, scores: Mapping[int, Vector], stays: Masks) -> Masks:
    """A mask of kept connections per layer, after the drop."""
    left = {index: scores[index][stay] for index, stay in stays.items()}
    by_sign, fraction = sentence.drop.by_sign, sentence.fraction
    if sentence.redistribution.shares == "ranked":
        together = np.concatenate(list(left.values()))
        chosen = _taken_apart(_strongest(together, fraction, by_sign=by_sign), left)
    else:
        chosen = {i: _strongest(of, fraction, by_sign=by_sign) for i, of in left.items()}
    keeps = {index: stay.copy() for index, stay in stays.items()}
    for index, keep in keeps.items():
        keep[keep] = chosen[index]
    return keeps


def _strongest(scores: Vector, fraction: float, *, by_sign: bool) -> Mask:
    """True for all but the weakest: floor(fraction nnz) of them, or as many of each sign."""
    if by_sign:
        return weakest_per_sign_dropped(scores, fraction)
    return all_but_smallest(scores, int(fraction * scores.size))


def _dropped(keep: Mask) -> int:
    return keep.size - int(np.count_nonzero(keep))


def _taken_apart(together: Mask, sizes: Mapping[int, Vector]) -> dict[int, Mask]:
    """Split a mask over all layers into one per layer."""
    ends = np.cumsum([vector.size for vector in sizes.values()])
    return dict(zip(sizes, np.split(together, ends[:-1]), strict=True))


# --- grow ------------------------------------------------------------------------------


def _wanted(sentence: Sentence, network: NetworkView, stays: Masks, keeps: Masks) -> dict[int, int]:
    """Connections to grow in each layer: those dropped, shared out, and what the targets lack."""
    dropped = [_dropped(keep) - _dropped(stays[index]) for index, keep in keeps.items()]
    if sentence.redistribution.shares == "quotas":
        layers = [network.layer(index) for index in keeps]
        dropped = sentence.redistribution.quotas(layers, dropped)
    wanted = dict(zip(keeps, dropped, strict=True))
    for index, more in _lacking(sentence, stays).items():
        wanted[index] += more
    return wanted


def _lacking(sentence: Sentence, stays: Masks) -> dict[int, int]:
    """The connections that the network lacks to its targets, shared out to the layers that lack
    some."""
    if sentence.targets is None:
        return {}
    lack = [max(0, sentence.targets[index] - stay.size) for index, stay in stays.items()]
    total = sum(sentence.targets[index] - stay.size for index, stay in stays.items())
    if not sentence.globally:
        return dict(zip(stays, lack, strict=True))
    return dict(zip(stays, share_out(max(0, total), lack, lack), strict=True))


def _best_of_all(
    grow: Grow, network: NetworkView, keeps: Masks, count: int
) -> dict[int, Candidates]:
    """The best candidates of all layers; of equal scores those of the earlier layer."""
    found = {i: grow.candidates(network.layer(i), keep, count) for i, keep in keeps.items()}
    scores = {index: _scored(grow, candidates) for index, candidates in found.items()}
    together = np.concatenate(list(scores.values()))
    chosen = _taken_apart(~all_but_smallest(-together, count), scores)
    return {
        index: Candidates(found[index].rows[best], found[index].columns[best])
        for index, best in chosen.items()
    }


def _scored(grow: Grow, candidates: Candidates) -> Vector:
    if candidates.scores is None:
        raise ValueError(
            f"{type(grow).__name__} gives candidates without scores, so layers cannot compete"
        )
    return candidates.scores


def _change(sentence: Sentence, layer: LayerView, keep: Mask, found: Candidates) -> Change:
    rows, columns = found.rows, found.columns
    if sentence.keeps_regrown:
        keep, fresh = revive(layer.W.pattern, keep, rows, columns)
        rows, columns = rows[fresh], columns[fresh]
    rng = layer.rng()
    if sentence.initial is None:
        values = layer.draw(rows.size, rng)
    else:
        values = sentence.initial.draw(layer.W.pattern, rows.size, rng)
    return Change(keep, rows, columns, values)


def share_out(total: int, weights: Sequence[float], limits: Sequence[int]) -> list[int]:
    """Parts of `total` in proportion to the weights, none above its limit.

    The excess is shared equally among those with room. Rounded by largest remainder, the
    earlier first. Raises ValueError if the limits leave no room for the total.
    """
    if total > sum(limits):
        raise ValueError(f"{total} connections do not fit into room for {sum(limits)}")
    whole = sum(weights)
    parts = (
        [
            min(limit, part)
            for part, limit in zip(
                _rounded(total, [w / whole for w in weights]), limits, strict=True
            )
        ]
        if whole > 0
        else [0] * len(limits)
    )
    while (over := total - sum(parts)) > 0:
        room = [index for index, part in enumerate(parts) if part < limits[index]]
        for index, more in zip(room, _rounded(over, [1 / len(room)] * len(room)), strict=True):
            parts[index] = min(limits[index], parts[index] + more)
    return parts


def _rounded(total: int, shares: Sequence[float]) -> list[int]:
    """Whole parts of total; the shares sum to 1."""
    exact = [total * share for share in shares]
    parts = [math.floor(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
    for index in order[: total - sum(parts)]:
        parts[index] += 1
    return parts
