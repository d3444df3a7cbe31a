"""The laws of the parts of a topology method."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.protocols import (
    Allocation,
    DensitySchedule,
    Drop,
    EveryStep,
    Grow,
    Redistribution,
    UpdateSchedule,
)
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.sparse.criteria import all_but_smallest
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.testing.fixtures import check_parameters, random_matrix
from sparsebench.testing.topologies import SHAPES, random_network, training_steps

DROPPED = 60


def check_allocation(
    allocation: Allocation, *, density: float | None = 0.2, epsilon: float | None = None
) -> None:
    """Each layer gets from 1 to K D connections; more density never gives fewer."""
    check_parameters(allocation)
    counts = allocation.counts(SHAPES, density=density, epsilon=epsilon)
    assert len(counts) == len(SHAPES), f"counts() gives {len(counts)} layers for {len(SHAPES)}"
    for count, (K, D) in zip(counts, SHAPES, strict=True):
        assert isinstance(count, int), f"counts() gives {type(count).__name__}, not int"
        assert 0 < count <= K * D, f"{count} connections for a layer of {K} x {D}"
    if density is not None:
        more = allocation.counts(SHAPES, density=min(1.0, 2 * density), epsilon=None)
        assert sum(more) >= sum(counts), "twice the density gives fewer connections"


def check_drop(drop: Drop) -> None:
    """A float32 score for each connection, repeatable, without writing into the weights."""
    check_parameters(drop)
    W = random_matrix((30, 40), 300, np.random.default_rng(1))
    before = W.data.copy()
    step = training_steps()[1]
    scores, again = (drop.scores(random_network([W], step).layer(0)) for _ in range(2))
    assert scores.shape == (W.nnz,), f"scores() gives {scores.shape} for {W.nnz} connections"
    assert scores.dtype == np.float32, f"scores() gives {scores.dtype}, not float32"
    assert np.array_equal(scores, again), "scores() is not repeatable"
    assert np.array_equal(W.data, before), "scores() writes into the weights"


def check_grow(grow: Grow) -> None:
    """Free positions in rising order, each once; as many as are wanted, if so many are free."""
    check_parameters(grow)
    step = training_steps()[1]
    for nnz in (300, 1150):
        W = random_matrix((30, 40), nnz, np.random.default_rng(1))
        keep = all_but_smallest(np.abs(W.data), DROPPED)
        free = W.shape[0] * W.shape[1] - int(np.count_nonzero(keep))
        for count in (0, DROPPED, free, free + 10):
            _check_candidates(grow, W, keep, count, min(count, free), step)


def _check_candidates(
    grow: Grow, W: CsrMatrix, keep: Mask, count: int, expected: int, step: TrainingStep
) -> None:
    layer = random_network([W], step).layer(0)
    if isinstance(grow, EveryStep):
        grow.after_backward(layer, layer.X, layer.DZ)
    found = grow.candidates(layer, keep, count)
    keys = found.rows.astype(np.int64) * W.shape[1] + found.columns
    assert (np.diff(keys) > 0).all(), "candidates are not in rising order, or one comes twice"
    assert not np.isin(keys, W.pattern.keys()[keep]).any(), "a candidate is a kept connection"
    assert keys.size == expected, f"{keys.size} candidates for {count} wanted, {expected} free"
    assert (found.scores is not None) == grow.ranks, "`ranks` says whether there are scores"
    if found.scores is not None:
        assert found.scores.shape == keys.shape, "a score for each candidate"


def check_update_schedule(schedule: UpdateSchedule) -> None:
    """Due between the first and the last step; the fraction lies in [0, 1); `last` is the last."""
    check_parameters(schedule)
    for steps_per_epoch in (3, 50):
        steps = training_steps(4, steps_per_epoch)
        due = [step for step in steps if schedule.due(step)]
        assert not any(step.last_step for step in due), "an update after the last step"
        for step in due:
            fraction = schedule.fraction(step)
            assert 0 <= fraction < 1, f"a fraction of {fraction} at step {step.step}"
        last = schedule.last(4 * steps_per_epoch, steps_per_epoch)
        found = due[-1].step if due else 0
        assert last == found, f"last() says {last}; the last step that is due is {found}"


def check_redistribution(redistribution: Redistribution) -> None:
    """Quotas that add up to what was dropped, none above what is free."""
    check_parameters(redistribution)
    assert redistribution.shares in ("own", "quotas", "ranked")
    layers = [
        random_matrix(shape, shape[0] * shape[1] // 2, np.random.default_rng(index))
        for index, shape in enumerate(SHAPES)
    ]
    network = random_network(layers, training_steps()[1])
    dropped = [100, 50, 20]
    views = [network.layer(index) for index in range(network.count)]
    quotas = redistribution.quotas(views, dropped)
    assert sum(quotas) == sum(dropped), f"{sum(dropped)} dropped, {sum(quotas)} to grow"
    for quota, view, lost in zip(quotas, views, dropped, strict=True):
        assert 0 <= quota <= view.free() + lost, f"{quota} to grow in a layer with fewer free"


def check_density_schedule(schedule: DensitySchedule) -> None:
    """The share falls from at most 1 to 0 at the last update, and never rises."""
    check_parameters(schedule)
    assert schedule.start is None or 0 < schedule.start <= 1
    steps = training_steps(4, 25)
    shares = [schedule.share(step, last=75) for step in steps if step.step <= 75]
    assert all(0 <= share <= 1 for share in shares), f"a share of {max(shares)}"
    assert all(b <= a for a, b in pairwise(shares)), "the share rises"
    assert shares[-1] == 0, f"a share of {shares[-1]} is left at the last update"
