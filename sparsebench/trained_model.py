"""Loads a trained network from its file, for prediction.

net = sparsebench.load_model("model.npz")
predicted = net.predict(X)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse

from sparsebench.core.archive import Archive, BadArchive, WithPrefix
from sparsebench.core.arrays import Array, Matrix
from sparsebench.core.data.checks import check_features
from sparsebench.core.data.samples import Inputs
from sparsebench.core.nn.compaction import compacted
from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.protocols import NamesLoss, Network, Objective
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern, TopologyError
from sparsebench.core.training.model_file import READABLE
from sparsebench.core.trial import DEFAULT_OBJECTIVE
from sparsebench.discovery import load_plugins
from sparsebench.errors import DataError

BATCH = 128


class TrainedNetwork:
    """A trained network for prediction.

    network  the network, without the optimizer's state
    inputs   how inputs are scaled
    weights  W_1, W_2, ... as scipy's csr, with a row per output neuron
    biases   b_1, b_2, ...
    facts    what the file says: trial, model, backend, optimizer, objective, seed, shapes
    input_names  (features,) names of the inputs; None if the data set does not name them
    names    (outputs,) the labels; None if they are 0, 1, ... or there are none
    targets  turns outputs into predictions
    """

    def __init__(
        self,
        found: Archive,
        backend: Any = None,
        plugin_files: Sequence[Path] = (),
        compact: bool = False,
    ) -> None:
        self.facts = facts = found.facts
        self._matrices, self.biases = [], []
        for number in range(1, len(facts["shapes"]) + 1):
            part = WithPrefix(found, f"W{number}")
            K, D = (int(size) for size in part["shape"])
            W = CsrMatrix(CsrPattern((K, D), part["indptr"], part["indices"]), part["data"])
            W.validate()
            self._matrices.append(W)
            self.biases.append(found[f"b{number}"])
        self.names, self.input_names = found.get("names"), found.get("inputs")
        mean, scale = (
            None if array is None else array.reshape(-1, 1)
            for array in (found.get("mean"), found.get("scale"))
        )
        self.inputs = Inputs(self.features, mean, scale)
        plugins = load_plugins(plugin_files)
        chosen = {
            "backend": facts["backend"] if backend is None else backend,
            "model": facts["model"],
            "optimizer": facts["optimizer"],
            "objective": facts.get("objective", DEFAULT_OBJECTIVE),
        }
        built = {
            kind: plugins.build(kind, plugins.validate(kind, component, kind))
            for kind, component in chosen.items()
        }
        objective: Objective = built["objective"]
        model = built["model"]

        def network() -> Network:
            layers = [
                built["backend"].layer(
                    CsrMatrix(W.pattern, W.data.copy()), bias.copy(), built["optimizer"]
                )
                for W, bias in zip(self._matrices, self.biases, strict=True)
            ]
            made: Network = model.network(
                layers, built["backend"], built["optimizer"], facts["seed"],
                objective.loss_with(model.loss if isinstance(model, NamesLoss) else None),
            )  # fmt: skip
            return made

        self.network: Network = network()
        for name, value in self.network.parameters().items():
            value[...] = found[name]
        if compact:
            self._compact(network)
        self.targets = objective.restored(found, self._matrices[-1].shape[0], self.inputs)

    def _compact(self, network: Callable[[], Network]) -> None:
        """Remove dead hidden neurons, with the trained parameters of their activations.

        network  makes the network of the present weights and biases
        """
        if not isinstance(self.network, LayeredNetwork):
            raise DataError(f"{type(self.network).__name__} cannot be made compact")
        learnt = self.network.parameters()
        parts = list(zip(self._matrices, self.biases, strict=True))
        small, alive = compacted(parts, self.network.activated)
        self._matrices = [W for W, _ in small]
        self.biases = [bias for _, bias in small]
        self.network = network()
        for name, value in self.network.parameters().items():
            left = alive[int(name.partition(".")[0].removeprefix("unit")) - 1]
            value[...] = learnt[name].reshape(left.size, -1)[left].reshape(value.shape)

    @property
    def features(self) -> int:
        return self._matrices[0].shape[1]

    @cached_property
    def weights(self) -> list[csr_matrix]:
        return [csr_matrix((W.data, W.indices, W.indptr), shape=W.shape) for W in self._matrices]

    def topology_distance(self, other: TrainedNetwork) -> list[float]:
        """The distance between the topologies of two networks for each layer, 0 to 1. It does not
        depend on how hidden neurons are numbered: NNSTD, Liu et al. (2020), arXiv 2006.14085. For
        layers of some thousand neurons."""
        from sparsebench.core.sparse.distance import nnstd

        return nnstd(self.weights, other.weights)

    def predict(self, X: Any) -> Array:
        """The prediction for each sample: its most likely label, its target in the data's own
        units, or its reconstruction.

        X is (samples, features), an array or scipy's csr, not scaled: it is scaled here as in
        training.
        """
        return self.targets.predict(self.outputs(X).T)

    def outputs(self, X: Any) -> Matrix:
        """(samples, outputs) pre-activations of the last layer."""
        X = X if issparse(X) else np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self.features:
            raise DataError(
                f"X has shape {X.shape}; expected (samples, {self.features}), features as in "
                "training"
            )
        if X.shape[0]:
            X = check_features(X, "X")
        return outputs_of(self.network, self.inputs, X)


def outputs_of(network: Network, inputs: Inputs, X: Any) -> Matrix:
    """(samples, outputs) pre-activations of the last layer, for X that is not scaled yet."""
    if not X.shape[0]:
        return np.empty((0, network.layers[-1].shape[0]), dtype=np.float32)
    batches = (X[start : start + BATCH] for start in range(0, X.shape[0], BATCH))
    return np.concatenate([network.outputs(inputs.scaled(rows)).T.copy() for rows in batches])


def load_model(
    file: str | Path,
    *,
    backend: Any = None,
    plugins: Sequence[str | Path] = (),
    compact: bool = False,
) -> TrainedNetwork:
    """Load a network from a file that `sparsebench export-model` wrote.

    backend  the backend to run it with, as in a suite; None: the one with which it was trained
    plugins  files of plugins that its components need
    compact  remove dead hidden neurons, which makes layers smaller and does not change predictions

    Raises DataError if the file is not such a file.
    """
    path = Path(os.path.expanduser(file))
    try:
        found = Archive(path)
        if found.facts.get("format") not in READABLE:
            raise BadArchive(f"model format {found.facts.get('format')!r} is not known")
        return TrainedNetwork(found, backend, [Path(plugin) for plugin in plugins], compact)
    except (BadArchive, TopologyError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not an exported model: {error}") from error
