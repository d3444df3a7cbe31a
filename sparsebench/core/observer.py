"""The protocols of observers, and of trainers that show them a network. Light.

An observer is a frozen dataclass of parameters. `start` makes an `Observation`, which holds the
state. It reads the network and changes nothing, so that a trial computes the same with and without
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sparsebench.core.metric import Metric

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array
    from sparsebench.core.methods.step import TrainingStep
    from sparsebench.core.protocols import Network
    from sparsebench.core.sparse.csr import Change


MOST_BINS = 64
"""Numbers in a small array, such as a histogram, that an observer may give."""


class Observation:
    """An observer at work on one network. Override `values`, and of the rest what is needed.

    Memory is O(connections + neurons), in the state and while it is computed.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def on_change(self, index: int, change: Change) -> None:
        """A layer's connections changed; `network.layers[index]` has them changed already.

        index   of the layer, from 0
        change  valid during the call
        """

    def look(self, step: TrainingStep) -> None:
        """Called each `Observer.every` steps, after the topology update of the step."""

    def values(self) -> Mapping[str, Any]:
        """The metrics by name, at the end of an epoch; None for an unknown one.

        Of kind "layer" a list with an entry per layer; else one value. A value or an entry is a
        number, or an array of at most MOST_BINS numbers.
        """
        raise NotImplementedError

    def saved(self) -> Iterator[tuple[str, Array]]:
        """The state, an array at a time, for a checkpoint."""
        yield from ()

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Continue from what `saved` gave; the network is that of the checkpoint."""


class Observer(Protocol):
    """Gives numbers about the network while it trains. A class of parameters may inherit from this.

    metrics  everything that `Observation.values` may hold: of kind "epoch" or "layer"; with kind
             "trial" beside "epoch" the last epoch's number is a measure of the trial too
    every    steps between two calls of `Observation.look`; None: never called
    """

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    @property
    def every(self) -> int | None:
        return None

    def start(self, network: Network) -> Observation:
        """Called when the network has its first connections, or those of a checkpoint."""


@runtime_checkable
class ObservableTrainer(Protocol):
    """A trainer whose network observers can see, said by its class of parameters. Without this a
    trial with observers is unsupported."""

    def hidden_from(self, observer: Observer) -> str | None:
        """Why the network cannot be shown to this observer; None: it can."""


def why_unobservable(trainer: object, name: str, observers: Mapping[str, Observer]) -> str | None:
    """One line on the first observer that cannot see the network; None: all can.

    trainer    built, or its parameters alone    observers  by name, likewise
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
