"""Loads a trained network from its file, for prediction.

net = sparsebench.load_model("model.npz")
predicted = net.predict(X)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from sparsebench.core.archive import Archive, BadArchive, Below
from sparsebench.core.arrays import Array, Matrix
from sparsebench.core.data.checks import check_features
from sparsebench.core.data.samples import Inputs
from sparsebench.core.protocols import NamesLoss, Network, Objective, Targets
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern, TopologyError
from sparsebench.core.training.model_file import READABLE
from sparsebench.core.trial import DEFAULT_OBJECTIVE
from sparsebench.discovery import load_plugins
from sparsebench.errors import DataError

BATCH = 128


class TrainedNetwork:
    """weights  W_1, W_2, ... as scipy's csr, a row per output neuron
    biases   b_1, b_2, ...
    facts    trial, model, backend, optimizer, objective, seed, shapes
    names    (outputs,) the labels; None where they are 0, 1, ... or there are none
    targets  what the objective makes of the outputs
    """

    def __init__(
        self, found: Archive, backend: Any = None, plugin_files: Sequence[Path] = ()
    ) -> None:
        self.facts = found.facts
        layers = range(1, len(self.facts["shapes"]) + 1)
        self._matrices = [_matrix(found, number) for number in layers]
        self.biases = [found[f"b{number}"] for number in layers]
        self.names = found.get("names")
        mean, scale = (_column(found.get(name)) for name in ("mean", "scale"))
        self._inputs = Inputs(self.features, mean, scale)
        self.targets, self._network = self._built(found, backend, plugin_files)

    @property
    def features(self) -> int:
        return self._matrices[0].shape[1]

    @cached_property
    def weights(self) -> list[csr_matrix]:
        return [csr_matrix((W.data, W.indices, W.indptr), shape=W.shape) for W in self._matrices]

    def predict(self, X: Array) -> Array:
        """A row per sample: its most likely label, its target in the data's own units, or its
        reconstruction. X is (samples, features), as the data set has it: it is scaled here as in
        training."""
        return self.targets.predict(self.outputs(X).T)

    def outputs(self, X: Array) -> Matrix:
        """(samples, outputs) pre-activations of the last layer."""
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self.features:
            raise DataError(
                f"X has shape {X.shape}; expected (samples, {self.features}), features as in "
                "training"
            )
        if len(X):
            check_features(X, "X")
        out = np.empty((X.shape[0], self._matrices[-1].shape[0]), dtype=np.float32)
        for start in range(0, X.shape[0], BATCH):
            rows = slice(start, start + BATCH)
            out[rows] = self._network.outputs(self._scaled(X[rows])).T
        return out

    def _scaled(self, X: Array) -> Matrix:
        """(features, N), as the network takes it."""
        columns, mean, scale = X.T, self._inputs.mean, self._inputs.scale
        if mean is not None and scale is not None:
            columns = (columns - mean) * scale
        return np.ascontiguousarray(columns, dtype=np.float32)

    def _built(
        self, found: Archive, backend: Any, plugin_files: Sequence[Path]
    ) -> tuple[Targets, Network]:
        known = load_plugins(tuple(plugin_files))
        chosen = self.facts["backend"] if backend is None else backend
        parts = {
            kind: known.build(kind, known.validate(kind, given, kind))
            for kind, given in (
                ("backend", chosen),
                ("model", self.facts["model"]),
                ("optimizer", self.facts["optimizer"]),
                ("objective", self.facts.get("objective", DEFAULT_OBJECTIVE)),
            )
        }
        layers = [
            parts["backend"].layer(
                CsrMatrix(W.pattern, W.data.copy()), bias.copy(), parts["optimizer"]
            )
            for W, bias in zip(self._matrices, self.biases, strict=True)
        ]
        objective: Objective = parts["objective"]
        model = parts["model"]
        network: Network = model.network(
            layers, parts["backend"], parts["optimizer"], self.facts["seed"],
            objective.loss_with(model.loss if isinstance(model, NamesLoss) else None),
        )  # fmt: skip
        for name, value in network.parameters().items():
            value[...] = found[name]
        outputs = self._matrices[-1].shape[0]
        return objective.restored(found, outputs, self._inputs), network


def load_model(
    file: str | Path, *, backend: Any = None, plugins: Sequence[str | Path] = ()
) -> TrainedNetwork:
    """The network in a file that `sparsebench export-model` wrote.

    backend  to run it with, as a suite names one; None: the one it was trained with
    plugins  files of plugins that its components come from

    Raises DataError where the file is not such a file.
    """
    path = Path(os.path.expanduser(file))
    try:
        found = Archive(path)
        if found.facts.get("format") not in READABLE:
            raise BadArchive(f"model format {found.facts.get('format')!r} is not known")
        return TrainedNetwork(found, backend, [Path(plugin) for plugin in plugins])
    except (BadArchive, TopologyError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no exported model: {error}") from error


def _column(array: Array | None) -> Array | None:
    return None if array is None else array.reshape(-1, 1)


def _matrix(found: Archive, number: int) -> CsrMatrix:
    part = Below(found, f"W{number}")
    K, D = (int(size) for size in part["shape"])
    W = CsrMatrix(CsrPattern((K, D), part["indptr"], part["indices"]), part["data"])
    W.validate()
    return W
