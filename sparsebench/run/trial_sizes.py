"""A trial's sizes as its components declare them: known before any data is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparsebench.core.sizes import (
    DataSize,
    LayerSize,
    SizedBackend,
    SizedDataset,
    SizedForCsr,
    SizedModel,
    SizedObjective,
    SizedOptimizer,
    SizedTopology,
)
from sparsebench.core.trial import Trial
from sparsebench.errors import SuiteError
from sparsebench.registry import Plugins

FLOAT, HALF, INDEX = 4, 2, 4
"""Bytes of a float32, of a bfloat16 (in which a backend may store momenta and activations), and of
the index of a stored value."""


@dataclass(frozen=True)
class TrialSizes:
    """A trial's declared sizes.

    truly_sparse  None if the backend does not declare it
    slots         number of arrays of optimizer state per array of weights
    csr           whether the first layer takes csr inputs as they are
    """

    data: DataSize
    layers: tuple[LayerSize, ...]
    topology: SizedTopology
    truly_sparse: bool | None
    slots: int
    epochs: int
    batch_size: int
    csr: bool = False

    @property
    def batch(self) -> int:
        return min(self.batch_size, self.data.train)

    @property
    def stored(self) -> float:
        """The mean number of stored values of a training sample, for csr data; else 0."""
        return (self.data.stored or 0) / max(1, self.data.train)

    @property
    def work(self) -> int:
        """The number of connections times the number of samples in the whole training; for
        simulated sparsity, all positions count instead of connections."""
        entries = sum(layer.entries(self.truly_sparse is not False) for layer in self.layers)
        return entries * self.data.train * self.epochs

    @property
    def least_bytes(self) -> int | None:
        """A lower bound on the memory of a training step; None for an unknown backend.

        Weights, indices and optimizer state of every layer, biases, and for one batch the inputs
        and the outputs of every layer.
        """
        if self.truly_sparse is None:
            return None
        total = FLOAT * self.batch * self.data.features
        if self.csr:
            total = round((FLOAT + INDEX) * self.batch * self.stored)
        for number, layer in enumerate(self.layers, 1):
            K, _ = layer.shape
            output = FLOAT if number == len(self.layers) else HALF
            index = (4 if layer.nnz < 2**31 else 8) if self.truly_sparse else 0
            entries = layer.entries(self.truly_sparse)
            total += entries * (FLOAT + index + HALF * self.slots) + K * (
                FLOAT + output * self.batch
            )
        return total


PROTOCOLS: dict[str, type] = {
    "dataset": SizedDataset, "model": SizedModel, "topology": SizedTopology,
    "optimizer": SizedOptimizer, "objective": SizedObjective, "backend": SizedBackend,
}  # fmt: skip
"""Component of a trial -> the protocol of one that declares its sizes."""


def without_size(trial: Trial, plugins: Plugins) -> list[str]:
    """The components because of which the least memory of a trial is unknown: `dataset file`."""
    found = []
    for kind, protocol in PROTOCOLS.items():
        data = {key: value for key, value in getattr(trial, kind).items() if key != "prune"}
        one = plugins.parameters(kind, data)
        sized = (
            one.size() is not None if isinstance(one, SizedDataset) else isinstance(one, protocol)
        )
        if not sized and not (kind == "dataset" and "missing" in trial.data):
            found.append(f"{kind} {data['name']}")
    return found


def declared_sizes(trial: Trial, plugins: Plugins) -> TrialSizes | None:
    """The trial's declared sizes. None if its data are missing, if a component other than the
    backend declares no size, or if the model refuses the data's number of features."""
    wires = {key: value for key, value in trial.topology.items() if key != "prune"}
    dataset = plugins.parameters("dataset", trial.dataset)
    model = plugins.parameters("model", trial.model)
    topology = plugins.parameters("topology", wires)
    optimizer = plugins.parameters("optimizer", trial.optimizer)
    backend = plugins.parameters("backend", trial.backend)
    objective = plugins.parameters("objective", trial.objective)
    if (
        "missing" in trial.data
        or not isinstance(dataset, SizedDataset)
        or not isinstance(model, SizedModel)
        or not isinstance(topology, SizedTopology)
        or not isinstance(optimizer, SizedOptimizer)
        or not isinstance(objective, SizedObjective)
        or (data := dataset.size()) is None
    ):
        return None
    if trial.folds is not None:
        samples, train = data.train + data.test, data.train
        test = samples // trial.folds
        stored = data.stored and data.stored * (samples - test) // max(1, train)
        data = replace(data, train=samples - test, test=test, stored=stored)
    held_out = round((trial.validation or 0.0) * data.train)
    stored = data.stored
    if stored is not None:
        stored = stored * (data.train - held_out) // max(1, data.train)
    data = replace(data, train=data.train - held_out, validation=held_out, stored=stored)
    try:
        shapes = model.shapes(data.features, objective.outputs(data.features, data.targets))
    except SuiteError:  # raised again where the trial runs
        return None
    return TrialSizes(
        data=data,
        layers=tuple(map(LayerSize, shapes, topology.connections(shapes))),
        topology=topology,
        truly_sparse=backend.truly_sparse if isinstance(backend, SizedBackend) else None,
        slots=len(optimizer.slots),
        epochs=trial.epochs,
        batch_size=trial.batch_size,
        csr=data.stored is not None and isinstance(backend, SizedForCsr) and backend.takes_csr,
    )
