"""A trainer that times one operation of a layer and compares it with its roofline."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from sparsebench.core.protocols import Layer, Network
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Result, Work
from sparsebench_roofline import probe_rates
from sparsebench_roofline.caches import caches, last_cache
from sparsebench_roofline.model import Bound, Demand, Rates, bound
from sparsebench_roofline.operations import Operation, operation
from sparsebench_roofline.params import KernelParams
from sparsebench_roofline.probe_rates import ProbeVariant

LARGER = 8
"""Size of an array that is read from memory, as a multiple of the last-level cache."""

MOST_STREAMED = 2**30
"""The most bytes of a measured stream; longer streams have the same rate."""


class Kernel(KernelParams):
    """Times one operation on the layer of the trial's network that has the most connections, or on
    all layers for `rewire` and `evaluate`. Probes and operation alternate, so that a noisy machine
    disturbs both."""

    def warm_up(self, work: Work) -> None:
        """Warm up the trial's components on small layers, and run every probe on small arrays."""
        warm_up(work)
        probe_rates.rehearse()

    def run(self, work: Work) -> Result:
        with work.meter.phase("build"):
            network = build_network(work)
            layer = max(network.layers, key=lambda layer: layer.nnz)
            started = [layer.nnz for layer in network.layers]
            timed = operation(self.kernel, work, network, layer, self.through)
        with work.meter.phase("probe"):
            probes = yardsticks_of(timed.needs, timed.rows, work.batch_size)
            memory = probe_rates.triad(LARGER * last_cache(caches()))
            memory.measure()
            starting = probe_rates.start_seconds()
        with work.meter.phase("measure"):
            repeats = _turns(timed, probes, self.repeats, work)
        rates = probes.rates()
        figures = {
            **_network_figures(work, network, started),
            "memory_bytes_per_second": memory.rate,
            "start_seconds": starting,
        }
        found = bound(timed.needs, rates, caches())
        figures |= figures_of(timed.needs, found, rates, repeats)
        if not all(way.quiet for way in probes.all):
            figures |= dict.fromkeys(("roofline_share", "roofline_best_share"))
        return Result(
            measures=figures,
            layers=[
                _facts(one, nnz, one is layer, found, repeats)
                for one, nnz in zip(network.layers, started, strict=True)
            ],
            network=network,
        )


@dataclass(eq=False)
class Probes:
    """The probes that measure the limits of an operation. `gather` is the fastest variant of that
    probe; None if the operation gathers nothing."""

    stream: ProbeVariant
    flops: ProbeVariant
    gather: ProbeVariant | None = None

    @property
    def all(self) -> list[ProbeVariant]:
        return [way for way in (self.stream, self.flops, self.gather) if way is not None]

    def rates(self) -> Rates:
        gather = self.gather
        return Rates(
            gather=gather.rate if gather is not None else float("nan"),
            stream=self.stream.rate,
            flops=self.flops.rate,
            part=gather.part if gather is not None else 1.0,
        )


def yardsticks_of(needs: Demand, rows: Any, N: int) -> Probes:
    """The probes for what an operation needs, on arrays as large as its own.

    rows  array whose rows it gathers; None: it gathers nothing
    N     number of samples
    """
    streamed = min(needs.streamed, MOST_STREAMED)
    stream = probe_rates.triad(streamed) if needs.updates else probe_rates.read(streamed)
    gather = None
    if rows is not None:
        probe = probe_rates.gather_add if needs.added else probe_rates.gather
        gather = probe_rates.fastest(probe(rows, N, needs.gathers))
    return Probes(stream, probe_rates.flops(), gather)


def _turns(timed: Operation, probes: Probes, repeats: int, work: Work) -> list[float]:
    """Seconds of the operation for each repeat; the probes are measured each time too."""
    found = []
    for repeat in range(repeats):
        for way in probes.all:
            way.measure()
        found.append(timed.seconds(probe_rates.LEAST))
        work.progress(1, repeat + 1, 0.0)
    return found


def figures_of(
    needs: Demand, found: Bound, rates: Rates, repeats: list[float]
) -> dict[str, float | int | None]:
    """The measures by name. Those made of a time are None if a repeat's time, which can be a
    difference of two timings, is not above 0.

    repeats  seconds of the operation in each repeat
    """
    seconds, least = statistics.median(repeats), min(repeats)
    known = least > 0
    return {
        "kernel_seconds": seconds if known else None,
        "kernel_least_seconds": least if known else None,
        "kernel_bytes": needs.bytes,
        "kernel_flops": needs.flops,
        "bytes_per_second": needs.bytes / seconds if known else None,
        "flops_per_second": needs.flops / seconds if known else None,
        "roofline_share": found.seconds / seconds if known else None,
        "roofline_best_share": found.seconds / least if known else None,
        "gather_bytes_per_second": rates.gather if needs.gathers else None,
        "stream_bytes_per_second": rates.stream,
        "peak_flops_per_second": rates.flops,
    }


def _network_figures(
    work: Work, network: Network, started: list[int]
) -> dict[str, float | int | None]:
    shapes = [layer.shape for layer in network.layers]
    possible = sum(K * D for K, D in shapes)
    connections = sum(layer.nnz for layer in network.layers)
    return {
        "neurons": work.data.features + sum(K for K, _ in shapes),
        "initial_connections": sum(started),
        "connections": connections,
        "dense_connections": possible,
        "density": connections / possible,
        "stored_bytes": sum(network.stored_bytes().values()),
    }


def _facts(
    layer: Layer, nnz: int, timed: bool, found: Bound, repeats: list[float]
) -> dict[str, Any]:
    """What the record says about a layer; for the timed one also the limits and all repeats."""
    facts: dict[str, Any] = {
        "shape": list(layer.shape),
        "initial_connections": nnz,
        "connections": layer.nnz,
        "stored_bytes": layer.stored_bytes(),
    }
    if timed:
        facts |= {"bound": found.name, "limits": dict(found.limits), "repeats": repeats}
    return facts
