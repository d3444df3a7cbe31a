"""Removes dead hidden neurons from a network during training, so that its layers become smaller."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from sparsebench.core.arrays import Array, Mask
from sparsebench.core.methods.protocols import RefusesCompaction
from sparsebench.core.methods.update import TopologyUpdater
from sparsebench.core.nn.compaction import (
    connections_between,
    living_neurons,
    masks_with_inputs,
    renumbered,
)
from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.nn.parametrisation import Reparametrises
from sparsebench.core.protocols import Compacts, Layer, Network
from sparsebench.core.training.work import Value, Work
from sparsebench.errors import Unsupported

KEY = "model.compact_every"


def epochs_between(work: Work) -> int | None:
    """Number of epochs from one removal to the next; None if the model does not want any."""
    return work.model.compact_every if isinstance(work.model, Compacts) else None


def refuse_compaction(work: Work, why: str) -> None:
    """Raise Unsupported if the model wants dead neurons to be removed. `why` says in the message
    why that is impossible."""
    if epochs_between(work) is not None:
        raise Unsupported(f"{KEY} gives neurons other numbers, and {why}; leave it out")


def check_compaction(work: Work, network: Network) -> None:
    """Raise Unsupported if dead neurons cannot be removed from this network, because something
    depends on the numbers of its neurons."""
    topology, name = work.topology, type(work.topology).__name__
    if isinstance(topology, Reparametrises):
        refuse_compaction(work, f"{name} trains other parameters than weights")
    if isinstance(topology, RefusesCompaction) and (why := topology.why_not_compact()):
        refuse_compaction(work, f"{name} {why}")
    for observer in work.observers.values():
        if observer.by_position:
            refuse_compaction(work, f"{type(observer).__name__} remembers positions")
    for part in (network, *network.layers):
        if not (hasattr(part, "saved") and hasattr(part, "restore")):
            refuse_compaction(work, f"the state of {type(part).__name__} cannot be saved")
    if not isinstance(network, LayeredNetwork):
        refuse_compaction(work, f"{type(network).__name__} keeps its neurons")


def remove_dead_neurons(work: Work, network: LayeredNetwork, updater: TopologyUpdater) -> bool:
    """Remove the hidden neurons that have no inputs or no outputs. Returns whether there were any.

    Apart from dropout, the network computes the same as before: a neuron without inputs has a
    constant output, which is added to the next layer's biases. Weights, biases, and the states of
    optimizer and method move with the remaining neurons. Layers are replaced one by one, so that
    only one of them is in memory twice.
    """
    parts = [(layer.weights(), layer.bias()) for layer in network.layers]
    alive, biases = living_neurons(parts, network.activated)
    if all(mask.all() for mask in alive):
        return False
    ends = masks_with_inputs(alive, parts[0][0].shape[1])
    keeps = [
        connections_between(W, *sides) for (W, _), sides in zip(parts, pairwise(ends), strict=True)
    ]
    del parts
    updater.drop_for_good(keeps)
    del keeps
    updater.renumber(ends)
    learnt = [dict(unit.saved()) for unit in network.units]
    layers = network.release_layers()
    for index, sides in enumerate(pairwise(ends)):
        layers[index] = _smaller(work, layers[index], biases[index], *sides)
    made = work.network(layers)
    assert isinstance(made, LayeredNetwork)
    for unit, saved, rows in zip(made.units, learnt, alive, strict=False):
        unit.restore({name: _of_neurons(array, rows) for name, array in saved.items()})
    network.replace_content(made)
    return True


def _smaller(work: Work, layer: Layer, bias: Array, columns: Mask, rows: Mask) -> Layer:
    """A new layer with only the inputs and outputs that are True; the others must have no
    connections. Optimizer state of weights is in csr order and does not change; state of the bias
    is restricted to the outputs."""
    made = work.layer(renumbered(layer.weights(), columns, rows), bias[rows])
    made.restore(
        {
            name: _of_neurons(array, rows) if name.startswith("bias_state.") else array
            for name, array in layer.saved()
        }
    )
    return made


def _of_neurons(array: Any, rows: Mask) -> Array:
    """The entries for the remaining neurons, which are True in `rows`, if the array has an entry
    per neuron; else the array."""
    found: Array = array[rows] if array.shape[:1] == rows.shape else array
    return found


def sizes(network: Network) -> tuple[dict[str, Value], dict[str, list[Value]]]:
    """The metrics of `core.metric.OF_COMPACTION`: those of the whole network, and those with a
    value per layer."""
    hidden = [layer.shape[0] for layer in network.layers[:-1]]
    stored = sum(network.stored_bytes().values())
    whole: dict[str, Value] = {"hidden_neurons": sum(hidden), "network_bytes": stored}
    return whole, {"neurons_of_layer": [layer.shape[0] for layer in network.layers]}
