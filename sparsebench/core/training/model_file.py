"""Writes a trained network as one npz file, which can be read without sparsebench.

facts                                  JSON: format, trial, model, backend, optimizer, shapes; image
W1.data W1.indices W1.indptr W1.shape  the first layer's weights in csr, a row per output neuron; W2
                                       ...
b1                                     (K,) the first layer's bias; b2 ...
unit1.NAME                             trained parameters of the first hidden layer's activation
mean scale                             (features,) the network's input is (x - mean) * scale
inputs                                 (features,) the name of each input, if inputs have names
names                                  (classes,) the label of each output
target_mean target_scale               (outputs,) the network is trained on (y - mean) / scale
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.core.archive import write_archive
from sparsebench.core.arrays import Array
from sparsebench.core.data.prepare import TrialData
from sparsebench.core.data.samples import Inputs
from sparsebench.core.files import replacing
from sparsebench.core.protocols import Network, Targets
from sparsebench.core.trial import Trial

# Model file format history:
#   2  `objective`, and the arrays that it needs
#   1  first version
MODEL_FORMAT = 2
READABLE = (1, MODEL_FORMAT)

SMALL = 4 * 2**20
"""Up to this many bytes of weights and indices, a network is stored even if the trial does not ask
for it. The largest of the five networks of Curci et al. (2021) takes 3.2 MiB at epsilon 20."""


def keep_model(file: Path, trial: Trial, data: TrialData, network: Network) -> bool:
    """Write the file if the trial wants its network stored, and return whether it does. If the
    trial does not say (None), small networks and those of trials with checkpoints are stored."""
    wanted = trial.keep_model
    if wanted is None:
        wanted = trial.checkpoint is not None or model_bytes(network) <= SMALL
    if wanted:
        facts = {
            "trial": trial.id,
            "model": trial.model,
            "backend": trial.backend,
            "optimizer": trial.optimizer,
            "objective": trial.objective,
            "seed": trial.seed,
        }
        write_model(file, facts, network, data.inputs, data.targets)
    return wanted


def write_model(
    file: Path, facts: Mapping[str, Any], network: Network, inputs: Inputs, targets: Targets
) -> None:
    """Write a network as this module's docstring describes; the file is replaced atomically.

    facts  trial, seed, and the components needed to predict: model, backend, optimizer, objective
    """
    shapes = [list(layer.shape) for layer in network.layers]
    if inputs.image is not None:
        facts = {**facts, "image": asdict(inputs.image)}
    with replacing(file) as stream:
        write_archive(
            stream,
            {"format": MODEL_FORMAT, **facts, "shapes": shapes},
            _arrays(network, inputs, targets),
        )


def model_bytes(network: Network) -> int:
    """Bytes of values and indices, about: 8 per connection and 8 per neuron."""
    return sum(8 * layer.nnz + 8 * layer.shape[0] for layer in network.layers)


def _arrays(network: Network, inputs: Inputs, targets: Targets) -> Iterator[tuple[str, Array]]:
    for number, layer in enumerate(network.layers, 1):
        W = layer.weights()
        yield f"W{number}.data", W.data
        yield f"W{number}.indices", W.indices
        yield f"W{number}.indptr", W.indptr
        yield f"W{number}.shape", np.array(W.shape)
        yield f"b{number}", layer.bias()
    yield from network.parameters().items()
    for name, array in (("mean", inputs.mean), ("scale", inputs.scale)):
        if array is not None:
            yield name, array.reshape(-1)
    if inputs.names is not None:
        yield "inputs", np.array(inputs.names, dtype=np.str_)
    yield from targets.arrays().items()
