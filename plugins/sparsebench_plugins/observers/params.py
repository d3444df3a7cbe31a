"""Parameters and metrics of the observers. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval

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

    by_position: ClassVar[bool] = True
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


@dataclass(frozen=True)
class ActiveNeuronsParams(Observer):
    """No parameters."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("active_neurons", "count", kinds=("trial", "epoch"), title="active neurons"),
        Metric(
            "active_neuron_share",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="active neurons, share",
        ),
        Metric("active_neurons_of_layer", "count", kinds=("layer",)),
    )


@dataclass(frozen=True)
class PathsParams(Observer):
    """No parameters."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("log_paths", "number", kinds=("trial", "epoch"), title="paths, log10"),
        Metric("log_paths_per_connection", "number", kinds=("trial", "epoch")),
    )


@dataclass(frozen=True)
class PowerLawParams(Observer):
    """samples  number of samples drawn from the fitted law for its test"""

    samples: Annotated[int, Interval(gt=0)] = 100

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "power_law_exponent", "number", kinds=("trial", "epoch"), title="power law, exponent"
        ),
        Metric("power_law_from", "count", kinds=("trial", "epoch")),
        Metric("power_law_distance", "number", kinds=("trial", "epoch")),
        Metric("power_law_p", better=+1, kinds=("trial", "epoch"), title="power law, p"),
    )


@dataclass(frozen=True)
class OverlapParams(Observer):
    """No parameters."""

    by_position: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "overlap_with_last",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="connections kept since the last epoch",
        ),
        Metric(
            "overlap_with_first",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="connections kept since the start",
        ),
        Metric("overlap_with_first_of_layer", "fraction", "points", kinds=("layer",)),
    )


@dataclass(frozen=True)
class NonzeroWeightsParams(Observer):
    """No parameters."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("nonzero_weights", "count", kinds=("trial", "epoch"), title="weights not 0"),
        Metric(
            "nonzero_density",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="weights not 0, of all positions",
        ),
        Metric("nonzero_weights_of_layer", "count", kinds=("layer",)),
    )


@dataclass(frozen=True)
class TopologyDistanceParams(Observer):
    """epochs  number of epochs between two measurements"""

    epochs: Annotated[int, Interval(gt=0)] = 10

    by_position: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "distance_from_first",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="distance from the first topology",
        ),
        Metric(
            "distance_from_last",
            "fraction",
            "points",
            kinds=("trial", "epoch"),
            title="distance from the topology of the last look",
        ),
        Metric("distance_from_first_of_layer", "fraction", "points", kinds=("layer",)),
    )
