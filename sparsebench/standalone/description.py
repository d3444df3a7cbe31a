"""A trained network as plain data, from which a standalone file is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError
from sparsebench.trained_model import TrainedNetwork

Curve = Literal["linear", "tanh", "sigmoid", "srelu"]
SRELU = ("t_left", "a_left", "t_right", "a_right")


@dataclass(frozen=True, eq=False)
class LayerData:
    """One layer as plain data.

    outputs  number of neurons
    indptr, indices, weights, bias  csr with a row per neuron
    curve    the activation after the layer; "linear" is z for z >= 0 and slope z for z < 0
    slope    of "linear"; not used by other curves
    curves   of "srelu", the vectors (outputs,) of its parameters in the order of SRELU; else empty
    """

    outputs: int
    indptr: Array
    indices: Array
    weights: Array
    bias: Array
    curve: Curve
    slope: float = 1.0
    curves: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class NetworkData:
    """A network as plain data.

    mean, scale  (features,) the network's input is (x - mean) * scale
    task         class: predict the name of the largest output; number: outputs * target_scale +
                 target_mean; flag: 1 for an output above 0, else 0
    names        names of the classes; empty for other tasks
    """

    layers: list[LayerData]
    mean: Array
    scale: Array
    task: Literal["class", "number", "flag"]
    target_mean: Array
    target_scale: Array
    names: list[str]

    @property
    def features(self) -> int:
        return int(self.mean.size)

    @property
    def outputs(self) -> int:
        return self.layers[-1].outputs


def described(net: TrainedNetwork) -> NetworkData:
    """Describe a network. Raises SparsebenchError for an activation without a standalone form."""
    model, inputs = net.facts["model"], net.inputs
    curves = [model["activation"]] * (len(net.weights) - 1) + [model.get("output", "identity")]
    parameters = net.network.parameters()
    layers = []
    for number, (W, bias, chosen) in enumerate(zip(net.weights, net.biases, curves), 1):
        curve, slope = _curve(chosen, number)
        srelu = tuple(parameters[f"unit{number}.{name}"].reshape(-1) for name in SRELU
                      if curve == "srelu")  # fmt: skip
        layers.append(LayerData(W.shape[0], W.indptr, W.indices, W.data, bias, curve, slope, srelu))
    mean, scale = np.zeros(net.features), np.ones(net.features)
    if inputs.mean is not None and inputs.scale is not None:
        mean, scale = inputs.mean.reshape(-1), inputs.scale.reshape(-1)
    arrays, objective = net.targets.arrays(), net.facts.get("objective", {"name": "classification"})
    target_mean, target_scale = np.zeros(layers[-1].outputs), np.ones(layers[-1].outputs)
    task: Literal["class", "number", "flag"] = "number"
    names: list[str] = []
    if objective["name"] == "classification":
        task = "class"
        known = arrays.get("names")
        names = [str(n) for n in (range(layers[-1].outputs) if known is None else known)]
    elif objective["name"] == "reconstruction":
        target_mean = mean
        target_scale = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    elif "target_mean" in arrays:
        target_mean, target_scale = arrays["target_mean"], arrays["target_scale"]
    else:
        task = "flag"
    return NetworkData(layers, mean, scale, task, target_mean, target_scale, names)


def _curve(chosen: object, layer: int) -> tuple[Curve, float]:
    plugins = load_plugins()
    component = plugins.validate("activation", chosen, "activation")
    slope = plugins.build("activation", component).negative_slope(layer)
    if slope is not None:
        return "linear", float(slope)
    if component["name"] not in ("tanh", "sigmoid", "srelu"):
        raise SparsebenchError(
            f"activation {component['name']!r} has no standalone form; export the network as npz"
        )
    curve: Curve = component["name"]
    return curve, 1.0
