"""Parameters of the observers, and the metrics they give. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sparsebench.core.metric import Metric
from sparsebench.core.observer import Observer


@dataclass(frozen=True)
class DegreesParams(Observer):
    """No parameters."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("largest_in_degree", "count", kinds=("trial", "epoch"), title="largest in-degree"),
        Metric("largest_out_degree", "count", kinds=("trial", "epoch"), title="largest out-degree"),
        *(Metric(f"{way}_degree_mean", "number", kinds=("layer",)) for way in ("in", "out")),
        *(Metric(f"{way}_degree_max", "count", kinds=("layer",)) for way in ("in", "out")),
        *(Metric(f"{way}_degree_histogram", "count", kinds=("layer",)) for way in ("in", "out")),
    )


@dataclass(frozen=True)
class DeadNeuronsParams(Observer):
    """No parameters."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("dead_neurons", "count", better=-1, kinds=("trial", "epoch"), title="dead neurons"),
        Metric(
            "dead_neuron_share",
            "fraction",
            "points",
            better=-1,
            kinds=("trial", "epoch"),
            title="dead neurons, share",
        ),
        Metric("dead_neurons_of_layer", "count", better=-1, kinds=("layer",)),
        Metric("without_incoming", "count", better=-1, kinds=("layer",)),
        Metric("without_outgoing", "count", better=-1, kinds=("layer",)),
    )


@dataclass(frozen=True)
class InputConnectionsParams(Observer):
    """No parameters."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "unconnected_inputs",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="inputs without a connection",
        ),
        Metric("input_connections", "count", kinds=("epoch",)),
        Metric("input_connections_histogram", "count", kinds=("epoch",)),
        Metric("input_connections_percentiles", "number", kinds=("epoch",)),
    )


@dataclass(frozen=True)
class ItopParams(Observer):
    """No parameters."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "itop_rate",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="positions ever tried",
        ),
        Metric("itop_standard_error", "fraction", "points", kinds=("trial", "epoch")),
        Metric("itop_rate_of_layer", "fraction", "points", kinds=("layer",)),
    )
