"""How time and memory grow with the connections: the fits of a report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sparsebench.analysis.evidence import (
    SIZE,
    SPARSITY,
    Evidence,
    families,
    groups,
    setting_labels,
    topology_labels,
)
from sparsebench.analysis.fits import Fit, Interval, marginal, points, power_law
from sparsebench.analysis.formats import (
    UNKNOWN,
    count,
    escape,
    fixed,
    in_unit,
    one,
    ratio,
    table_of,
)
from sparsebench.core.metric import Metric

SIZES = "initial_connections"
"""The measure of a network's size: connections at the start, as in the plot."""

PER_CONNECTION = Metric("seconds_each", "seconds", title="time per connection and sample")
MEASURES = ("epoch_seconds", PER_CONNECTION.name, "net_peak_bytes")
SAME = 1.01
"""Numbers of training samples up to this ratio count as the same."""

NOTE_FITS = (
    "Power laws: factor x connections^exponent by least squares in log-log, a point per size. In "
    "parentheses 95 % intervals of Student's t, not known below four sizes. Ratio: the largest "
    "size over the smallest, as measured. Time per epoch is not fitted where the number of "
    "samples depends on the size."
)
NOTE_MARGINAL = (
    "Bytes of the net peak that a connection and a neuron add: least squares of relative errors "
    "over all sizes and densities, with a constant. Where neurons grow in step with connections "
    "their bytes are counted with these."
)


def fits(evidence: Evidence) -> Iterator[str]:
    """The section: a heading, two tables and their notes; nothing without three sizes."""
    parts = [(fits_table(evidence), NOTE_FITS), (marginal_table(evidence), NOTE_MARGINAL)]
    if any(made for made, _ in parts):
        yield "## Growth with size"
    for made, note in parts:
        if made:
            yield from (made, note)


@dataclass(frozen=True)
class Law:
    """A power law of one measure over the connections, and the labels of its trials.

    words  the setting, leaving out the size
    """

    words: str
    topology: str
    backend: str
    metric: Metric
    fit: Fit


def laws(evidence: Evidence) -> Iterator[Law]:
    """By setting, topology and backend: the power law of each measure over the connections;
    none without three sizes."""
    frame = evidence.frame
    samples = frame["samples_per_second"] * frame["train_seconds"] / frame["epochs"]
    frame = frame.assign(
        samples=samples, words=setting_labels(evidence, *SIZE), family=families(evidence, *SIZE),
        **{PER_CONNECTION.name: frame["epoch_seconds"] / (frame[SIZES] * samples)},
    )  # fmt: skip
    keys = ["words", "topology_label", "backend_label", "family", "apart"]
    for (words, topology, backend, *_), part in groups(frame[frame["ok"]], keys):
        uneven = part["samples"].max() > SAME * part["samples"].min()
        for name in MEASURES:
            at = points(part, SIZES, [name])
            fit = power_law(at[SIZES], at[name])
            if fit is not None and not (name == "epoch_seconds" and uneven):
                metric = evidence.metrics.get(name, PER_CONNECTION)
                yield Law(words, topology, backend, metric, fit)


def fits_table(evidence: Evidence) -> str:
    """A row per law; empty if there are none."""
    rows = []
    for law in laws(evidence):
        fit = law.fit
        factor, low, high = (
            [in_unit(law.metric, one(x)) for x in values]
            for values in ((fit.factor, *fit.factor_interval), fit.least[1:], fit.most[1:])
        )
        exponents = [_exponent(x) for x in (fit.exponent, *fit.exponent_interval)]
        rows.append(
            [escape(law.words), escape(law.topology), escape(law.backend), law.metric.heading,
             _between(exponents, fit.exponent_interval), _between(factor, fit.factor_interval),
             f"{count(fit.least[0])} to {count(fit.most[0])}", *low, *high, ratio(fit.ratio),
             str(fit.sizes)]
        )  # fmt: skip
    header = ["setting", "topology", "backend", "measure", "exponent", "factor", "connections",
              "at the smallest", "at the largest", "ratio", "sizes"]  # fmt: skip
    return table_of(header, rows, left=4)


def marginal_table(evidence: Evidence) -> str:
    """By setting, topology and backend: the bytes that a connection, and a neuron, adds to the
    net peak; sizes and densities together. Empty if there are never three sizes."""
    keys = (*SIZE, *SPARSITY)
    frame = evidence.frame.assign(
        words=setting_labels(evidence, *keys),
        family=families(evidence, *keys),
        topology_label=topology_labels(evidence, *SPARSITY),
    )
    rows = []
    by = ["words", "topology_label", "backend_label", "family", "apart"]
    for labels, part in groups(frame[frame["ok"]], by):
        # a point per cell and not per size: equal numbers of connections lie in unequal networks
        at = part.groupby("cell", sort=False)[[SIZES, "neurons", "net_peak_bytes"]].mean().dropna()
        found = marginal(at[SIZES], at["neurons"], at["net_peak_bytes"])
        if found is not None:
            connection, neuron = (
                _between([f"{fixed(x, 1)} B" for x in (value, *interval)], interval)
                if not math.isnan(value)
                else UNKNOWN
                for value, interval in (
                    (found.per_connection, found.per_connection_interval),
                    (found.per_neuron, found.per_neuron_interval),
                )
            )
            rows.append([*map(escape, labels[:3]), connection, neuron, str(found.points)])
    header = ["setting", "topology", "backend", "bytes per connection", "bytes per neuron",
              "points"]  # fmt: skip
    return table_of(header, rows, left=3)


def _exponent(value: float) -> str:
    return fixed(round(value, 2) + 0.0, 2)  # no -0.00


def _between(shown: list[str], interval: Interval) -> str:
    """`0.98 (0.91 to 1.05)`, from the value and the ends of its interval."""
    value, low, high = shown
    known = "interval not known" if math.isnan(interval[0]) else f"{low} to {high}"
    return f"{value} ({known})"
