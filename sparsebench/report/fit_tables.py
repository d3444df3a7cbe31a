"""How time and memory grow with the connections: the fits of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.families import (
    SIZE,
    SPARSITY,
    families,
    setting_labels,
    topology_labels,
)
from sparsebench.analysis.fits import (
    Fit,
    Interval,
    Marginal,
    marginal,
    points,
    power_law,
)
from sparsebench.analysis.formats import (
    UNKNOWN,
    Spread,
    count,
    escape,
    fixed,
    one,
    ratio,
    seconds,
    size,
    table,
)
from sparsebench.analysis.groups import groups

SIZES = "initial_connections"
"""What stands for the size of a network: how it starts, as in the plot."""

MEASURES: tuple[tuple[str, str, Callable[[Spread], str]], ...] = (
    ("time per epoch", "epoch_seconds", seconds),
    ("time per connection and sample", "seconds_each", seconds),
    ("net peak", "net_peak_bytes", size),
)
SAME = 1.01
"""Numbers of training samples up to this ratio count as the same."""


NOTE_FITS = (
    "Each measure is factor x connections^exponent: least squares in log-log over one point per "
    "size, the mean over its seeds. In parentheses 95 % intervals of Student's t; with fewer than "
    "four sizes they are not known. They hold if the points scatter about one power law. The "
    "factor is what the law gives for a single connection. Ratio: the largest size over the "
    "smallest, as measured. Samples are those trained on in an epoch; where their number depends "
    "on the size, time per epoch is not fitted."
)
NOTE_MARGINAL = (
    "What a connection and a neuron add to the net peak: least squares of relative errors over "
    "all sizes and densities, with a constant. Where neurons grow in step with the connections "
    "the two cannot be told apart, and bytes per connection include those of the neurons. "
    "The memory of a simulated backend follows the dense size instead, and its intervals are wide."
)


def fits(evidence: Evidence) -> Iterator[str]:
    """The section: a heading, two tables and their notes; nothing without three sizes."""
    growth, slopes = fits_table(evidence), marginal_table(evidence)
    if growth or slopes:
        yield "## Growth with size"
    if growth:
        yield from (growth, NOTE_FITS)
    if slopes:
        yield from (slopes, NOTE_MARGINAL)


@dataclass(frozen=True)
class Law:
    """A power law of one measure over the connections, and the trials that it is of.

    words  the setting, leaving out the size;  show  its numbers as people read them
    """

    words: str
    topology: str
    backend: str
    title: str
    measure: str
    show: Callable[[Spread], str]
    fit: Fit


def laws(evidence: Evidence) -> Iterator[Law]:
    """By setting, topology and backend: the power law of each measure over the connections;
    none without three sizes."""
    frame = _with_samples(evidence.frame).assign(
        words=setting_labels(evidence, *SIZE), family=families(evidence, *SIZE)
    )
    keys = ["words", "topology_label", "backend_label", "family", "apart"]
    for (words, topology, backend, *_), part in groups(frame[frame["ok"]], keys):
        for title, name, show in MEASURES:
            fit = _fit(part, name)
            if fit is not None:
                yield Law(words, topology, backend, title, name, show, fit)


def fits_table(evidence: Evidence) -> str:
    """A row per law; empty if there are none."""
    rows = [
        [escape(law.words), escape(law.topology), escape(law.backend), law.title,
         *_fit_cells(law.fit, law.show)]
        for law in laws(evidence)
    ]  # fmt: skip
    header = ["setting", "topology", "backend", "measure", "exponent", "factor", "connections",
              "at the smallest", "at the largest", "ratio", "sizes"]  # fmt: skip
    return _table(header, rows, left=4)


def marginal_table(evidence: Evidence) -> str:
    """By setting, topology and backend: what a connection, and a neuron, adds to the net peak;
    sizes and densities together. Empty if there are never three sizes."""
    keys = (*SIZE, *SPARSITY)
    frame = evidence.frame.assign(
        words=setting_labels(evidence, *keys),
        family=families(evidence, *keys),
        topology_label=topology_labels(evidence, *SPARSITY),
    )
    rows = []
    by = ["words", "topology_label", "backend_label", "family", "apart"]
    for (words, topology, backend, *_), part in groups(frame[frame["ok"]], by):
        at = _points_of_cells(part)
        found = marginal(at[SIZES], at["neurons"], at["net_peak_bytes"])
        if found is not None:
            label = [escape(words), escape(topology), escape(backend)]
            rows.append([*label, *_marginal_cells(found)])
    header = [
        "setting",
        "topology",
        "backend",
        "bytes per connection",
        "bytes per neuron",
        "points",
    ]
    return _table(header, rows, left=3)


def _with_samples(frame: pd.DataFrame) -> pd.DataFrame:
    """With the training samples of an epoch, and the seconds by connection and sample."""
    samples = frame["samples_per_second"] * frame["train_seconds"] / frame["epochs"]
    return frame.assign(
        samples=samples, seconds_each=frame["epoch_seconds"] / (frame[SIZES] * samples)
    )


def _fit(part: pd.DataFrame, name: str) -> Fit | None:
    """None also for the time of epochs that differ in their samples."""
    samples = part["samples"].dropna()
    if name == "epoch_seconds" and not samples.empty and samples.max() > SAME * samples.min():
        return None
    at = points(part, SIZES, [name])
    return power_law(at[SIZES], at[name])


def _points_of_cells(part: pd.DataFrame) -> pd.DataFrame:
    """A row per cell and not per size: equal numbers of connections lie in unequal networks."""
    columns = [SIZES, "neurons", "net_peak_bytes"]
    return part.groupby(["cell"], sort=False)[columns].mean().dropna()


def _fit_cells(fit: Fit, show: Callable[[Spread], str]) -> list[str]:
    low, high = (show(one(y)) for _, y in (fit.least, fit.most))
    return [
        _between(
            fit.exponent, fit.exponent_interval, lambda value: fixed(round(value, 2) + 0.0, 2)
        ),
        _between(fit.factor, fit.factor_interval, lambda value: show(one(value))),
        f"{count(fit.least[0])} to {count(fit.most[0])}",
        low,
        high,
        ratio(fit.ratio),
        str(fit.sizes),
    ]


def _marginal_cells(found: Marginal) -> list[str]:
    return [
        _between(found.per_connection, found.per_connection_interval, _bytes),
        _between(found.per_neuron, found.per_neuron_interval, _bytes),
        str(found.points),
    ]


def _bytes(value: float) -> str:
    return f"{fixed(value, 1)} B"


def _between(value: float, interval: Interval, show: Callable[[float], str]) -> str:
    """`0.98 (0.91 to 1.05)`."""
    if math.isnan(value):
        return UNKNOWN
    low, high = interval
    known = "interval not known" if math.isnan(low) else f"{show(low)} to {show(high)}"
    return f"{show(value)} ({known})"


def _table(header: list[str], rows: list[list[str]], left: int) -> str:
    """Without the setting where there is only one."""
    if not rows:
        return ""
    if all(not row[0] for row in rows):
        header, rows, left = header[1:], [row[1:] for row in rows], left - 1
    return table(header, rows, left)
