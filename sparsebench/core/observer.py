"""The protocols of observers, and of trainers that support them. Free of heavy imports.

An observer is a frozen dataclass of parameters. Its `start` makes an `Observation`, which holds the
state. An observer only reads the network, so a trial computes the same with and without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sparsebench.core.metric import Metric

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array
    from sparsebench.core.methods.training_position import TrainingStep
    from sparsebench.core.protocols import Network
    from sparsebench.core.sparse.csr import Change


MOST_BINS = 64
"""The most numbers in an array, such as a histogram, that an observer may return as a value."""


class Observation:
    """The state of an observer for one network. Override `values`, and other methods as needed.

    Memory may be O(connections + neurons).
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def on_change(self, index: int, change: Change) -> None:
        """Called after a layer's connections changed; `network.layers[index]` has the new ones.

        index   of the layer, from 0
        change  the change; use it only during the call
        """

    def look(self, step: TrainingStep) -> None:
        """Called each `Observer.every` steps, after the topology update of the step."""

    def values(self) -> Mapping[str, Any]:
        """Called at the end of an epoch. Returns the value of each metric by name; None: unknown.

        A metric of kind "layer" has a list with an entry per layer, others have one value. A value
        or an entry is a number, or an array of at most MOST_BINS numbers.
        """
        raise NotImplementedError

    def saved(self) -> Iterator[tuple[str, Array]]:
        """The state, an array at a time, for a checkpoint."""
        yield from ()

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Continue from the arrays of `saved`; the network is that of the checkpoint."""


class Observer(Protocol):
    """Measures the network while it trains. A parameter class may inherit from this.

    metrics  all metrics that `Observation.values` may return, of kind "epoch" or "layer"; a metric
             that is also of kind "trial" gets the last epoch's value for the trial
    every    steps between two calls of `Observation.look`; None: never called
    by_position  whether an observation remembers positions or numbers of hidden neurons, which
             change when dead neurons are removed during training
    """

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    @property
    def every(self) -> int | None:
        return None

    @property
    def by_position(self) -> bool:
        return False

    def start(self, network: Network) -> Observation:
        """Begin to observe a network, which already has its initial connections, or those of a
        checkpoint."""


@runtime_checkable
class ObservableTrainer(Protocol):
    """A trainer that supports observers, declared by its parameter class. With any other
    trainer, a trial with observers is unsupported."""

    def hidden_from(self, observer: Observer) -> str | None:
        """Why the trainer does not support this observer; None if it does."""


def why_unobservable(trainer: object, name: str, observers: Mapping[str, Observer]) -> str | None:
    """A line about the first observer that the trainer does not support; None if there is none.

    trainer    the trainer or its parameters
    observers  the observers or their parameters, by name
    """
    if not observers:
        return None
    if not isinstance(trainer, ObservableTrainer):
        return (
            f"trainer {name!r} shows its network to no observer (its parameters have no "
            "`hidden_from`); leave trial.observers out"
        )
    for named, observer in observers.items():
        reason = trainer.hidden_from(observer)
        if reason is not None:
            return f"observer {named!r} cannot see the network of trainer {name!r}: {reason}"
    return None
