"""Parameters of the parallel trainers. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Interval

from sparsebench.core.observer import Observer

SHARE_ALONE = 0.3
"""Share of the epochs in which workers train alone: `wasap_sgd/mpi/process.py`, released code."""

RELEASED_RATE = 0.01
"""The learning rate at which the released warm-up starts: `base_lr` of `wasap_sgd/train/model.py`.
"""

RELEASED: dict[str, Any] = {
    "remainder": "drop",
    "target": "master",
    "overwritten": True,
    "extra_pass": True,
}
"""Options of the released code that depart from the paper."""


@dataclass(frozen=True)
class HogwildParams:
    """The parameters of `hogwild`.

    workers  number of processes that compute gradients, each with the trial's threads; one more
             process coordinates them
    """

    workers: Annotated[int, Interval(gt=0, le=512)] = 2

    def forks(self) -> int:
        return self.workers

    def hidden_from(self, observer: Observer) -> str | None:
        if observer.every is None:
            return None
        return (
            "its workers stop only for a topology update and at the end of an epoch; "
            "leave `every` out"
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """The parameters of `wassp` or `wasap` with every default filled in."""

    workers: int
    synchronous: bool
    local: float
    remainder: Literal["keep", "drop"] = "keep"
    state: Literal["master", "fresh"] = "master"
    target: Literal["workers", "master"] = "workers"
    overwritten: bool = False
    extra_pass: bool = False
    scaling: bool = False
    warm_epochs: int = 0
    base: float | None = None
    correction: bool = False
    local_scaling: bool = False


@dataclass(frozen=True)
class WasapParams:
    """A parameter that is none follows the paper, or with as_published the released code
    (SelimaC/large-scale-sparse-neural-networks, wasap_sgd/mpi/process.py and train/model.py).

    workers       number of processes that compute gradients, each with the trial's threads and
                  batch size; one more process, the master, holds the weights
    local         share of the epochs, at the end, in which each worker trains alone on its part
                  of the data before the models are averaged (phase two); none: 0.3
    as_published  follow the released code if it deviates from the paper
    remainder     keep: train on the last, smaller batch of a part; drop, as released: skip it
    state         optimizer state at the start of phase two: the master's, or fresh
    target        number of connections kept in the average of the workers' models: workers: as many
                  as these have on average; master, as released: as many as the master's model has
    overwritten   reset each worker in phase two to the weights, topology and state that it started
                  with, after every 0.3 E batches, rounded down, where E is the trial's number of
                  epochs (as released)
    extra_pass    train one epoch more than the trial's in phase one (as released)
    """

    workers: Annotated[int, Interval(gt=0, le=512)] = 2
    local: Annotated[float, Interval(ge=0, lt=1)] | None = None
    as_published: bool = False
    remainder: Literal["keep", "drop"] | None = None
    state: Literal["master", "fresh"] | None = None
    target: Literal["workers", "master"] | None = None
    overwritten: bool | None = None
    extra_pass: bool | None = None

    def processes(self) -> int:
        return self.workers + 1

    def hidden_from(self, observer: Observer) -> str | None:
        """Why an observer cannot see the network, or None: in phase two each worker has its
        own."""
        if self.options().local == 0:
            return None
        return "its workers train alone in the last epochs; set local = 0"

    def options(self) -> Options:
        return self._with_defaults(synchronous=False, local=SHARE_ALONE)

    def _with_defaults(self, **defaults: Any) -> Options:
        own = {name: value for name, value in vars(self).items() if value is not None}
        released = RELEASED if own.pop("as_published") else {}
        return Options(**{**defaults, **released, **own})


@dataclass(frozen=True)
class WasspParams(WasapParams):
    """As `wasap`, except that `local` is 0 by default, and 0.3 with as_published. In addition:

    scaling        multiply the learning rate by the number of workers
    warm_epochs    epochs over which the factor rises; with n workers, in epoch e from 0:
                   (n - 1) e / warm_epochs + 1
    base           learning rate that is multiplied; none: the optimizer's with its schedule, and
                   with as_published 0.01
    correction     rescale the velocity when the warm-up changes the rate
    local_scaling  use the scaled rate in phase two too, as released; none: only with as_published
    """

    scaling: bool = True
    warm_epochs: Annotated[int, Interval(ge=0)] = 5
    base: Annotated[float, Interval(gt=0)] | None = None
    correction: bool = True
    local_scaling: bool | None = None

    def options(self) -> Options:
        released = self.as_published
        return self._with_defaults(
            synchronous=True,
            local=SHARE_ALONE if released else 0.0,
            base=RELEASED_RATE if released and self.scaling else None,
            local_scaling=released,
        )
