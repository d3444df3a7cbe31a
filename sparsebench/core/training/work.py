"""The input and the result of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from sparsebench.core.data.prepare import TrialData
from sparsebench.core.methods.protocols import Pruning, Topology
from sparsebench.core.nn.parametrisation import ParametrisedLayer, Reparametrises
from sparsebench.core.observer import Observer
from sparsebench.core.protocols import (
    Backend,
    Layer,
    Loss,
    Model,
    NamesLoss,
    Network,
    Objective,
    Optimizer,
)
from sparsebench.core.sizes import DataSize

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sparsebench.core.arrays import Vector
    from sparsebench.core.sparse.csr import CsrMatrix
    from sparsebench.core.training.checkpoint import Keeper  # whose matrices need numba


Value = float | list[float] | None
"""A metric's value: a number, or a small array such as a histogram; None if unknown."""

TIMED = ("data", "train", "topology", "eval", "observe")
"""The names of a training's timers; with `_seconds` they are fields of an epoch's record."""


class Meter(Protocol):
    """Measures seconds and peak memory by phase; `worker.meter` has the real one."""

    def phase(self, name: str) -> AbstractContextManager[None]: ...

    def rss(self) -> int:
        """Current resident bytes."""

    def net_peak_bytes(self) -> int | None:
        """The largest resident memory since training began, minus the resident memory then, in
        bytes; None if not measured."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One line of epochs.jsonl. Accuracies are fractions; seconds are those of this epoch.

    connections    number of connections of each layer at the end of the epoch
    dropped, grown, pruned  for each layer, the number of connections in this epoch
    metrics        further measured quantities by name
    layer_metrics  the same, with a value per layer
    """

    epoch: int
    train_loss: float
    test_loss: float | None
    learning_rate: float
    connections: list[int]
    dropped: list[int]
    grown: list[int]
    pruned: list[int]
    data_seconds: float
    train_seconds: float
    topology_seconds: float
    eval_seconds: float
    observe_seconds: float = 0.0
    test_accuracy: float | None = None
    validation_accuracy: float | None = None
    rss_bytes: int | None = None
    metrics: dict[str, Value] = field(default_factory=dict)
    layer_metrics: dict[str, list[Value]] = field(default_factory=dict)

    def with_metrics(self, metrics: Mapping[str, float]) -> EpochRecord:
        """A copy with these metrics; one that has a field of its name is stored in that field."""
        own: dict[str, Any] = {name: metrics[name] for name in vars(self) if name in metrics}
        others = {name: value for name, value in metrics.items() if name not in own}
        return replace(self, metrics={**self.metrics, **others}, **own)

    def value(self, name: str) -> float | None:
        """The value of a field or of a metric with one number; None if unknown."""
        value = getattr(self, name, self.metrics.get(name))
        return None if isinstance(value, list) else value

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data; `metrics` and `layer_metrics` are left out if they are empty."""
        return {name: value for name, value in asdict(self).items() if value != {}}

    def numbers(self) -> dict[str, float]:
        """All known metrics that are a single number."""
        return {name: one for name, one in self.metrics.items() if isinstance(one, int | float)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EpochRecord:
        return cls(**data)


class Team(Protocol):
    """The processes that train one network together. The first, rank 0, is the master.

    comm  mpi4py's communicator of all these processes
    """

    rank: int
    size: int
    comm: Any


@dataclass(frozen=True, kw_only=True)
class Work:
    """A trial with its components built and its data loaded.

    data      the loaded data; None for throwaway networks
    report    called with the record of each finished epoch
    progress  called often with (epoch, step, loss); must be cheap; steps count from the start
    meter     measures the phases build, train, topology, eval, observe and checkpoint
    observers the observers of the network by name
    keeper    writes checkpoints; None: no checkpoints
    team      the processes that train this network together; None: only this process
    size      size of the data if they are not loaded and it is known
    """

    model: Model
    backend: Backend
    topology: Topology
    pruning: Pruning | None
    optimizer: Optimizer
    objective: Objective
    data: TrialData
    epochs: int
    batch_size: int
    seed: int
    meter: Meter
    report: Callable[[EpochRecord], None] = lambda epoch: None
    progress: Callable[[int, int, float], None] = lambda epoch, step, loss: None
    observers: Mapping[str, Observer] = field(default_factory=dict)
    keeper: Keeper | None = None
    team: Team | None = None
    size: DataSize | None = None

    @property
    def csr(self) -> bool:
        """Whether the inputs are csr."""
        if self.data is not None:
            return self.data.csr
        return self.size is not None and self.size.stored is not None

    @property
    def loss(self) -> Loss:
        """The objective's loss, or the model's if the objective sets none."""
        model = self.model
        return self.objective.loss_with(model.loss if isinstance(model, NamesLoss) else None)

    def layer(self, W: CsrMatrix, bias: Vector) -> Layer:
        """Make a layer by the backend, wrapped for the method's parametrisation if there is one."""
        made = self.backend.layer(W, bias, self.optimizer)
        if not isinstance(self.topology, Reparametrises):
            return made
        return ParametrisedLayer(W.data, made, self.topology.parametrisation, self.optimizer)

    def network(self, layers: Sequence[Layer], seed: int | None = None) -> Network:
        """Build the model's network from these layers.

        seed  of the network's dropout; None: the trial's
        """
        chosen = self.seed if seed is None else seed
        return self.model.network(layers, self.backend, self.optimizer, chosen, self.loss)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of training.

    measures  by column name: neurons, initial_connections, connections, dense_connections,
              density, the objective's metrics (see `summary.scores`), train_loss, test_loss,
              data_seconds, train_seconds, topology_seconds, eval_seconds, observe_seconds,
              epoch_seconds, samples_per_second, train_samples, stored_bytes, bytes_sent; the
              observers' values in the last epoch; and values that the trainer adds
    diverged  whether the loss became nan or inf, so that training stopped
    computed_by  name of the program that computed the result, if the trial's topology and backend
              were not used
    """

    measures: dict[str, float | int | None]
    layers: list[dict[str, Any]]
    network: Network
    diverged: bool = False
    epochs: list[EpochRecord] = field(default_factory=list)
    computed_by: str = ""


class Trainer(Protocol):
    """Runs the training loop. Besides `run` a trainer may define:

    processes() -> int      (of its parameters) the number of processes that mpiexec starts together
                            for the trial. Each builds its components, loads its data and calls
                            `run` with `work.team` set; all but the first return None.
    forks() -> int          (of its parameters) the number of processes that it starts itself and
                            waits for
    fork(work) -> Work      called after the data is loaded and before any thread is started
    warm_up(work)           compiles all code that `run` will need, on throwaway networks
    """

    def run(self, work: Work) -> Result: ...
