"""Bytes of a trial before it runs, from what its components declare. Exact or unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparsebench.core.sizes import (
    FLOAT,
    Bytes,
    DataSize,
    LayerSize,
    NetworkSize,
    SizedBackend,
    SizedDataset,
    SizedModel,
    SizedObjective,
    SizedOptimizer,
    SizedTopology,
    Transient,
)
from sparsebench.core.trial import Trial
from sparsebench.errors import SuiteError
from sparsebench.registry import Plugins


@dataclass(frozen=True)
class Outline:
    """A trial whose parts are declared; `backend` is None where it declares nothing."""

    data: DataSize
    model: SizedModel
    topology: SizedTopology
    backend: SizedBackend | None
    network: NetworkSize
    epochs: int
    batch_size: int
    prunes: bool

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-self.data.train // self.batch_size)

    @property
    def work(self) -> int:
        """Connections times samples of the whole training."""
        looked_at = (
            layer.nnz if self.backend is None else self.backend.work(layer)
            for layer in self.network.layers
        )
        return sum(looked_at) * self.data.train * self.epochs


@dataclass(frozen=True)
class BytesNeeded:
    """stored  at the end of training, by layer and purpose, and for the activations
    peak    the highest sum of what there is at one moment, from the build to evaluation
    least   what there is at one moment at the least: less memory cannot do
    """

    layers: list[Bytes]
    activations: int
    peak: int
    prunes: bool

    @property
    def least(self) -> int:
        return sum(sum(layer.values()) for layer in self.layers) + self.activations

    @property
    def stored(self) -> int | None:
        """None where connections are pruned or added: how many is found out in training."""
        return None if self.prunes else self.least


def outline(trial: Trial, plugins: Plugins) -> Outline | None:
    """What the trial's parameter classes declare; None where one but the backend's declares
    nothing."""
    topology = {key: value for key, value in trial.topology.items() if key != "prune"}
    data = _data_size(trial, plugins)
    model = plugins.parameters("model", trial.model)
    wires = plugins.parameters("topology", topology)
    optimizer = plugins.parameters("optimizer", trial.optimizer)
    backend = plugins.parameters("backend", trial.backend)
    objective = plugins.parameters("objective", trial.objective)
    if (
        data is None
        or not isinstance(model, SizedModel)
        or not isinstance(wires, SizedTopology)
        or not isinstance(optimizer, SizedOptimizer)
        or not isinstance(objective, SizedObjective)
        or model.linear() is None
    ):
        return None
    backend = backend if isinstance(backend, SizedBackend) else None
    try:
        shapes = model.shapes(data.features, objective.outputs(data.features, data.targets))
    except SuiteError:  # raised where the trial runs
        return None
    ends = len(shapes) - 1
    layers = tuple(
        LayerSize(shape, nnz, first=i == 0, last=i == ends)
        for i, (shape, nnz) in enumerate(zip(shapes, wires.connections(shapes), strict=True))
    )
    batch = min(trial.batch_size, data.train)
    rest = data.train % batch
    network = NetworkSize(
        layers,
        (batch, rest) if rest else (batch,),
        min(trial.batch_size, max(data.test, data.validation)),
        optimizer.rule(),
        fused=backend is not None and bool(model.linear()) and backend.own_units(),
    )
    prune = trial.topology.get("prune")
    pruned = prune is not None and int(prune.get("start", 1)) <= trial.epochs
    prunes = pruned or wires.changes_density
    return Outline(data, model, wires, backend, network, trial.epochs, trial.batch_size, prunes)


def bytes_needed(of: Outline) -> BytesNeeded | None:
    """Stored bytes and the net peak of a trial; None if its backend declares nothing."""
    network, backend = of.network, of.backend
    if backend is None:
        return None
    layers = backend.stored(network)
    activations = of.model.activations(network, backend)
    transients = backend.transient(network)
    stored = [sum(layer.values()) for layer in layers]
    batch = network.widest_batch
    X = FLOAT * of.data.features * batch
    # while a batch is read, the one before is still there
    reading = X + of.data.reading(batch) if of.data.train > batch else of.data.reading(batch)
    working = X + max(
        of.model.working(network, backend), *(transient.stepping for transient in transients)
    )
    peak = max(
        _building(transients),
        sum(stored) + activations + max(reading, working),
        _changing(of, stored, transients) + activations + X,
    )
    return BytesNeeded(layers, activations, peak, of.prunes)


def _building(transients: list[Transient]) -> int:
    """Layer after layer: what the earlier ones hold, and the one at work."""
    held, peak = 0, 0
    for transient in transients:
        peak = max(peak, held + transient.building)
        held += transient.built
    return peak


def _changing(of: Outline, stored: list[int], transients: list[Transient]) -> int:
    """Layer after layer; the change is a byte a connection, and 12 for each that is grown."""
    updates = sum(of.topology.updates(e, of.epochs, of.steps) for e in range(1, min(of.epochs, 3)))
    if not updates:
        return 0
    counts = [layer.nnz for layer in of.network.layers]
    moved = of.topology.moved(counts)
    return max(
        sum(stored) + n + 12 * grown + transient.change
        for n, grown, transient in zip(counts, moved, transients, strict=True)
    )


def _data_size(trial: Trial, plugins: Plugins) -> DataSize | None:
    if "missing" in trial.data:
        return None
    dataset = plugins.parameters("dataset", trial.dataset)
    size = dataset.size() if isinstance(dataset, SizedDataset) else None
    if not isinstance(size, DataSize) or not trial.validation:
        return size if isinstance(size, DataSize) else None
    held = round(trial.validation * size.train)
    return replace(size, train=size.train - held, validation=held)
