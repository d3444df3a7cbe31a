"""What a trainer gets, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sparsebench.core.data.samples import TrialData
from sparsebench.core.metric import total
from sparsebench.core.protocols import Backend, Model, Network, Optimizer, Pruning, Topology
from sparsebench.core.training.position import Keeper

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Meter(Protocol):
    """Measures seconds and peak memory by phase; `execution.meter` has the real one."""

    def phase(self, name: str) -> AbstractContextManager[None]: ...

    def rss(self) -> int:
        """Resident bytes now."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One line of epochs.jsonl. Accuracies are fractions; seconds are of this epoch.

    connections, dropped, grown, pruned: per layer.
    metrics  further measured quantities by name: a number, or a list (a number per layer, or the
             bins of a histogram); None where unknown
    """

    epoch: int
    train_loss: float
    test_loss: float | None
    test_accuracy: float | None
    validation_accuracy: float | None
    learning_rate: float
    connections: list[int]
    dropped: list[int]
    grown: list[int]
    pruned: list[int]
    data_seconds: float
    train_seconds: float
    topology_seconds: float
    eval_seconds: float
    rss_bytes: int | None = None
    metrics: dict[str, float | list[float] | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON data; `metrics` only where there are any."""
        data = asdict(self)
        if not self.metrics:
            del data["metrics"]
        return data

    def metric_totals(self) -> dict[str, float]:
        """The known metrics as one number each: of a list with a number per layer the total (see
        `total`); other lists have none."""
        totals = {
            name: total(value) if isinstance(value, list) else value
            for name, value in self.metrics.items()
            if not isinstance(value, list) or len(value) == len(self.connections)
        }
        return {name: value for name, value in totals.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EpochRecord:
        return cls(**data)


class Team(Protocol):
    """The processes that train one network together. The first, rank 0, is the master.

    comm  mpi4py's communicator of them all
    """

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def comm(self) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Work:
    """A trial with its components built and its data loaded.

    report    called with each finished epoch
    progress  called often, with (epoch, step, loss); must be cheap; steps count from the start
    meter     phases build, train, topology, eval, checkpoint are measured through it
    keeper    of checkpoints; None keeps none
    team      the processes that train this network; None: this one alone
    """

    model: Model
    backend: Backend
    topology: Topology
    pruning: Pruning | None
    optimizer: Optimizer
    data: TrialData
    epochs: int
    batch_size: int
    seed: int
    meter: Meter
    report: Callable[[EpochRecord], None] = lambda epoch: None
    progress: Callable[[int, int, float], None] = lambda epoch, step, loss: None
    keeper: Keeper | None = None
    team: Team | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What training gave.

    measures  by column name: neurons, initial_connections, connections, dense_connections,
              density, test_accuracy, best_test_accuracy, validation_accuracy,
              selected_test_accuracy, train_loss, test_loss, train_seconds, topology_seconds,
              eval_seconds, epoch_seconds, samples_per_second, stored_bytes, bytes_sent; and
              what the trainer adds
    diverged  the loss became nan or inf; training stopped there
    """

    measures: dict[str, float | int | None]
    layers: list[dict[str, Any]]
    network: Network
    diverged: bool = False
    epochs: list[EpochRecord] = field(default_factory=list)
