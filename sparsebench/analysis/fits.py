"""How a measure grows with size: power laws and marginal costs by least squares, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from sparsebench.analysis.evidence import SIZE, Evidence, families, groups, setting_labels
from sparsebench.analysis.statistics import Interval
from sparsebench.core.metric import Metric
from sparsebench.errors import SparsebenchError, nearest

Vector = npt.NDArray[np.float64]

SIZES = "initial_connections"
"""The measure of a network's size."""

PER_CONNECTION = Metric("seconds_each", "seconds", title="time per connection and sample")
MEASURES = ("epoch_seconds", PER_CONNECTION.name, "net_peak_bytes")

REPLICATES = ["cell", "machine", "contended"]
"""Rows that agree in these differ in the seed: one point."""

LEAST_SIZES = 3
"""For a fit."""

COLUMNS = ("exponent", "exponent_low", "exponent_high", "factor", "factor_low", "factor_high",
           "x_least", "x_most")  # fmt: skip
"""Of `fit_rows`, after the labels."""

FREE = 2
"""Sizes beyond the coefficients that an interval needs; with 1, t is 12.7."""

COLLINEAR = 30.0
"""Condition number of scaled columns from which on their coefficients cannot be told apart
(Belsley, Kuh and Welsch 1980)."""

SAME = 1.01
"""Numbers of training samples up to this ratio count as the same."""


@dataclass(frozen=True)
class Fit:
    """y = factor x^exponent. Intervals are at 95 %, NaN where they are not known.

    sizes  distinct x
    least, most  (x, y) of the smallest and of the largest size
    """

    exponent: float
    exponent_interval: Interval
    factor: float
    factor_interval: Interval
    sizes: int
    least: tuple[float, float]
    most: tuple[float, float]

    @property
    def ratio(self) -> float:
        """y of the largest size over y of the smallest, as measured."""
        return self.most[1] / self.least[1]


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


@dataclass(frozen=True)
class Marginal:
    """y = constant + per_connection x connections + per_neuron x neurons; `per_neuron` is nan
    where the two grow so alike that only the first is fitted."""

    per_connection: float
    per_connection_interval: Interval
    per_neuron: float
    per_neuron_interval: Interval
    points: int


def power_law(x: npt.ArrayLike, y: npt.ArrayLike) -> Fit | None:
    """Least squares of log y over log x, a point per size; None for fewer than 3 sizes.

    The intervals are of Student's t with n - 2 degrees of freedom. They suppose that the points
    scatter about one power law; where y bends, they say nothing of what lies beyond.
    """
    x, y = _usable(x, y)
    sizes = np.unique(x).size
    if sizes < LEAST_SIZES:
        return None
    A = np.column_stack([np.ones(x.size), np.log(x)])
    (constant, slope), (about_constant, about_slope) = _least_squares(A, np.log(y))
    i, j = int(np.argmin(x)), int(np.argmax(x))
    return Fit(
        exponent=slope,
        exponent_interval=(slope - about_slope, slope + about_slope),
        factor=math.exp(constant),
        factor_interval=(math.exp(constant - about_constant), math.exp(constant + about_constant)),
        sizes=sizes,
        least=(float(x[i]), float(y[i])),
        most=(float(x[j]), float(y[j])),
    )


def marginal(
    connections: npt.ArrayLike, neurons: npt.ArrayLike, y: npt.ArrayLike
) -> Marginal | None:
    """Least squares of relative errors, over both where they can be told apart, else over
    connections; None for fewer than 3 sizes."""
    c, n, y = _usable(connections, neurons, y)
    if np.unique(c).size < LEAST_SIZES:
        return None
    one = np.ones(c.size)
    A = np.column_stack([one, c, n]) / y[:, None]
    condition = float(np.linalg.cond(A / np.linalg.norm(A, axis=0)))
    joint = c.size >= A.shape[1] + FREE and condition <= COLLINEAR
    value, about = _least_squares(A if joint else A[:, :2], one)
    low, high = value - about, value + about
    unknown = (math.nan, math.nan)
    return Marginal(
        per_connection=float(value[1]),
        per_connection_interval=(float(low[1]), float(high[1])),
        per_neuron=float(value[2]) if joint else math.nan,
        per_neuron_interval=(float(low[2]), float(high[2])) if joint else unknown,
        points=c.size,
    )


def _least_squares(A: Vector, b: Vector) -> tuple[Vector, Vector]:
    """The coefficients of A, and half the width of their 95 % intervals: nan where fewer than
    `FREE` degrees of freedom are left."""
    scale = np.linalg.norm(A, axis=0)
    S = A / scale
    found = np.linalg.lstsq(S, b, rcond=None)[0]
    free = b.size - A.shape[1]
    if free < FREE:
        return found / scale, np.full(scale.size, np.nan)
    variance = float(np.square(b - S @ found).sum()) / free
    about = stdtrit(free, 0.975) * np.sqrt(variance * np.diag(np.linalg.pinv(S.T @ S)))
    return found / scale, about / scale


def points(frame: pd.DataFrame, x: str, columns: Sequence[str]) -> pd.DataFrame:
    """One row per size `x`, with the mean of each column. Values are averaged over the seeds of
    a cell first, then over the cells of the same size, so replicates do not count as
    separate points."""
    known = frame.dropna(subset=[x, *columns])
    cells = known.groupby(REPLICATES, sort=False)[list(dict.fromkeys([x, *columns]))].mean()
    return cells.groupby(cells[x].to_numpy(), sort=True).mean()


def laws(evidence: Evidence) -> Iterator[Law]:
    """By setting, topology and backend: the power law of each measure over the connections;
    none without three sizes, nor of time per epoch where the number of samples depends on them."""
    frame = evidence.frame
    # records from before `train_samples` took the rate over the seconds of the steps alone
    samples = frame["train_samples"].fillna(
        frame["samples_per_second"] * frame["train_seconds"] / frame["epochs"]
    )
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


def fit_rows(frame: pd.DataFrame, x: str, y: str, by: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row per group of trials with equal `by`: the power law of `y` over `x`; None for unknown
    numbers. Trials of several machines, and contended ones, are groups of their own."""
    for name in (x, y, *by):
        if name not in frame:
            raise SparsebenchError(f"fit: unknown column {name!r}.{nearest(name, frame.columns)}")
    for name in (x, y):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise SparsebenchError(f"fit: {name} is no number")
    keys = [*by, *(k for k in REPLICATES[1:] if frame[k].nunique() > 1 and k not in by)]
    for labels, part in groups(frame, keys) if keys else [((), frame)]:
        values = labels if len(keys) != 1 else (labels,)
        at = points(part, x, [y])
        fit = power_law(at[x], at[y])
        sizes, numbers = len(at), [math.nan] * len(COLUMNS)
        if fit is not None:
            sizes, numbers = fit.sizes, [
                fit.exponent, *fit.exponent_interval, fit.factor, *fit.factor_interval,
                fit.least[0], fit.most[0],
            ]  # fmt: skip
        known = (None if math.isnan(value) else float(value) for value in numbers)
        row = {**dict(zip(keys, values)), "x": x, "y": y, "sizes": sizes}
        yield {**row, **dict(zip(COLUMNS, known))}


def _usable(*columns: npt.ArrayLike) -> tuple[Vector, ...]:
    """The rows in which every number is finite and above 0."""
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    return tuple(table[(np.isfinite(table) & (table > 0)).all(axis=1)].T)
