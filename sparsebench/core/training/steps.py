"""The steps of training and their timers, and the pass over samples that evaluates a network."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Rows
from sparsebench.core.data.prepare import Examples
from sparsebench.core.nn.parametrisation import Reparametrises
from sparsebench.core.protocols import (
    LayerSignals,
    Network,
    Observable,
    Targets,
    TrainsManySteps,
)
from sparsebench.core.training.dead_neurons import refuse_compaction
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported
from sparsebench.seeds import generator

Target = npt.NDArray[Any]


class Timers:
    """Adds up seconds by name. `so_far` returns the sums; `take` returns and resets them.

    Timers may be nested. The seconds of an inner timer do not count for the outer one.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._inner = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        outer, self._inner = self._inner, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.add(name, seconds - self._inner)
            self._inner = outer + seconds

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def so_far(self) -> dict[str, float]:
        return dict(self._seconds)

    def take(self) -> dict[str, float]:
        seconds, self._seconds = self._seconds, {}
        return seconds


class Steps(Protocol):
    """Makes the steps of training. A turn is the input of one step, such as the rows of its
    batch."""

    timers: Timers

    @property
    def per_epoch(self) -> int:
        """Number of steps in an epoch."""

    def turns(self, epoch: int, start: int) -> Iterator[Any]:
        """Yield the turns of an epoch from sample `start` on."""

    def take(self, turn: Any, rate: float, t: int) -> tuple[float, int]:
        """Make step t. Returns the mean loss before the update, and the number of samples."""


@runtime_checkable
class ManySteps(Protocol):
    """Steps of which several may be made in one call if nothing has to happen between them."""

    def take_all(
        self, turns: Sequence[Any], rates: Sequence[float], t: int
    ) -> list[tuple[float, int]]:
        """Make steps t, t + 1, ... up to the first loss that is not finite. Returns for each step
        what `take` returns."""


@runtime_checkable
class ObservedSteps(Protocol):
    """Steps in a process that has the samples, so that a topology method can use a mini-batch."""

    def observe(self, turn: Any, t: int) -> tuple[float, int, list[LayerSignals]]:
        """Compute step t without an update. Returns the mean loss, the number of samples, and each
        layer's signals."""


class Batches:
    """The steps of one process: each takes one batch, and an epoch takes each sample once.

    stream  numbers that, with the seed, "shuffle" and the epoch, name the random stream of the
            order of the samples
    """

    def __init__(self, work: Work, network: Network, stream: tuple[int, ...] = ()) -> None:
        self.timers = Timers()
        self._work = work
        self._network = network
        self._stream = stream
        self._epoch = 0
        many = isinstance(network, TrainsManySteps)
        self._source = work.data.train.scaled_rows() if many else None

    @property
    def per_epoch(self) -> int:
        return math.ceil(len(self._work.data.train) / self._work.batch_size)

    def turns(self, epoch: int, start: int) -> Iterator[Rows]:
        self._epoch = epoch
        with self.timers("data"):
            rng = generator(self._work.seed, "shuffle", epoch, *self._stream)
            order = rng.permutation(len(self._work.data.train))
        for at in range(start, order.size, self._work.batch_size):
            yield order[at : at + self._work.batch_size]

    def take(self, turn: Rows, rate: float, t: int) -> tuple[float, int]:
        X, T = self.batch(turn)
        with self.timers("train"):
            return self._network.train_step(X, T, rate, t), turn.size

    def take_all(
        self, turns: Sequence[Rows], rates: Sequence[float], t: int
    ) -> list[tuple[float, int]]:
        found: list[tuple[float, int]] = []
        for _, group in groupby(turns, key=len):
            done = len(found)
            found += self._take_equal(list(group), rates[done:], t + done)
            if not math.isfinite(found[-1][0]):
                break
        return found

    def _take_equal(
        self, turns: Sequence[Rows], rates: Sequence[float], t: int
    ) -> list[tuple[float, int]]:
        """`take_all` for batches that all have the same number of samples."""
        network, examples, size = self._network, self._work.data.train, turns[0].size
        if self._source is not None:
            assert isinstance(network, TrainsManySteps)
            with self.timers("train"):
                rows = np.concatenate(turns)
                losses = network.train_steps(
                    self._source, examples.targets, examples.rows_of(rows), rows, size,
                    rates[: len(turns)], t,
                )  # fmt: skip
            if losses is not None:
                return [(loss, size) for loss in losses.tolist()]
        found: list[tuple[float, int]] = []
        for number, turn in enumerate(turns):
            found.append(self.take(turn, rates[number], t + number))
            if not math.isfinite(found[-1][0]):
                break
        return found

    def observe(self, turn: Rows, t: int) -> tuple[float, int, list[LayerSignals]]:
        assert isinstance(self._network, Observable)
        X, T = self.batch(turn)
        loss, signals = self._network.observe(X, T, t)
        return loss, turn.size, signals

    def batch(self, rows: Rows) -> tuple[Any, Target]:
        with self.timers("data"):
            return self._work.data.train.batch(rows, self._epoch)


def refuse_signals(work: Work, trainer: str) -> None:
    """Raise Unsupported if the topology method needs signals or trains other parameters than
    weights, or if the model removes dead neurons. For trainers that update the topology in a
    process that has neither samples nor the optimizer's state.

    trainer  the trainer's name in the message
    """
    refuse_compaction(work, f"{trainer} exchanges weights by them")
    if isinstance(work.topology, Reparametrises):
        raise Unsupported(
            f"{type(work.topology).__name__} trains other parameters than weights, and {trainer} "
            "exchanges weights; use a trainer of one process"
        )
    needs = work.topology.needs
    if needs.every_step or needs.signals:
        seen = " and ".join(sorted(needs.signals)) or "every training step"
        raise Unsupported(
            f"{type(work.topology).__name__} looks at {seen}, and {trainer} updates the topology "
            "where there is none; use a trainer of one process"
        )


def evaluate(
    network: Network, examples: Examples, targets: Targets, batch_size: int
) -> tuple[float, dict[str, float]]:
    """The mean loss over all samples, and the objective's scores by their plain names."""
    total = len(examples)
    loss, score = 0.0, targets.score()
    for start in range(0, total, batch_size):
        rows = np.arange(start, min(start + batch_size, total))
        X, T = examples.batch(rows)
        Z = network.outputs(X)
        loss += network.loss(Z, T) * rows.size
        score.add(Z, T)
    return loss / total, score.values()
