"""A trial's work and least memory before it runs, from the sizes its components declare."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparsebench.core.sizes import (
    DataSize,
    LayerSize,
    SizedBackend,
    SizedDataset,
    SizedModel,
    SizedObjective,
    SizedOptimizer,
    SizedTopology,
)
from sparsebench.core.trial import Trial
from sparsebench.errors import SuiteError
from sparsebench.registry import Plugins

FLOAT, HALF = 4, 2
"""Bytes of a float32, and of a bfloat16, as which a backend may keep momenta and activations."""


@dataclass(frozen=True)
class Outline:
    """A trial's declared sizes.

    truly_sparse  None where the backend does not declare it
    slots         optimizer state arrays
    """

    data: DataSize
    layers: tuple[LayerSize, ...]
    topology: SizedTopology
    truly_sparse: bool | None
    slots: int
    epochs: int
    batch_size: int

    @property
    def batch(self) -> int:
        return min(self.batch_size, self.data.train)

    @property
    def work(self) -> int:
        """Connections times samples of the whole training; K D for a backend that simulates."""
        entries = sum(layer.entries(self.truly_sparse is not False) for layer in self.layers)
        return entries * self.data.train * self.epochs

    @property
    def least_bytes(self) -> int | None:
        """A lower bound on the memory of a training step; None for an unknown backend.

        Weights, indices and optimizer state of every layer, biases, and the outputs of every
        layer for one batch.
        """
        if self.truly_sparse is None:
            return None
        total = FLOAT * self.batch * self.data.features
        for number, layer in enumerate(self.layers, 1):
            K, _ = layer.shape
            output = FLOAT if number == len(self.layers) else HALF
            index = (4 if layer.nnz < 2**31 else 8) if self.truly_sparse else 0
            entries = layer.entries(self.truly_sparse)
            total += entries * (FLOAT + index + HALF * self.slots) + K * (
                FLOAT + output * self.batch
            )
        return total


def outline(trial: Trial, plugins: Plugins) -> Outline | None:
    """The trial's declared sizes; None where a component other than the backend declares none."""
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
    held_out = round((trial.validation or 0.0) * data.train)
    data = replace(data, train=data.train - held_out, validation=held_out)
    try:
        shapes = model.shapes(data.features, objective.outputs(data.features, data.targets))
    except SuiteError:  # raised again where the trial runs
        return None
    return Outline(
        data=data,
        layers=tuple(map(LayerSize, shapes, topology.connections(shapes))),
        topology=topology,
        truly_sparse=backend.truly_sparse if isinstance(backend, SizedBackend) else None,
        slots=len(optimizer.slots),
        epochs=trial.epochs,
        batch_size=trial.batch_size,
    )
