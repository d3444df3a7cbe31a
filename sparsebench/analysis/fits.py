"""Fits how a measure grows with the size of the network: power laws and marginal costs by least
squares, with intervals by bootstrap over the sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from sparsebench.analysis.report_data import SIZE, ReportData, families, groups, setting_labels
from sparsebench.analysis.statistics import Interval
from sparsebench.core.metric import Metric
from sparsebench.errors import SparsebenchError, nearest

Vector = npt.NDArray[np.float64]

SIZES = "initial_connections"
"""The measure of a network's size."""

PER_CONNECTION = Metric("seconds_each", "seconds", title="time per connection and sample")
MEASURES = ("epoch_seconds", PER_CONNECTION.name, "net_peak_bytes")

REPLICATES = ["cell", "machine", "contended"]
"""Rows that agree in these columns differ only in the seed and make one point."""

LEAST_SIZES = 3
"""The least number of sizes for a fit."""

COLUMNS = ("exponent", "exponent_low", "exponent_high", "factor", "factor_low", "factor_high",
           "offset", "offset_low", "offset_high", "x_least", "x_most")  # fmt: skip
"""The columns of `fit_rows` after the labels."""

FREE = 2
"""An interval needs this many more sizes than coefficients; with 1 more, Student's t is 12.7."""

COLLINEAR = 30.0
"""If the condition number of scaled columns is at least this, their coefficients cannot be
distinguished (Belsley, Kuh and Welsch 1980)."""

OFFSET_SIZES = 6
"""The least number of sizes for which AICc is defined for a law with an offset."""

EXPONENTS = np.linspace(0.05, 4.0, 80)
"""The exponents that are tried first for a law with an offset."""

EXACT = 1e-20
"""A mean squared error below which a law counts as exact."""

FIT_RESAMPLES = 400
"""Bootstrap samples of a law, far fewer than `statistics.RESAMPLES`: a law is fitted to each."""

SEED = 20_251
"""Seed of the bootstrap, so that the same records give the same numbers."""

SAME = 1.01
"""Two numbers of training samples count as equal if their ratio is at most this."""


@dataclass(frozen=True)
class Fit:
    """The law y = offset + factor x^exponent. The offset is 0 if AICc prefers the plain power law.
    Intervals are at 95 %, NaN if unknown.

    sizes  number of distinct x
    least, most  (x, y) of the smallest and of the largest size
    draws  (FIT_RESAMPLES, 3): offset, factor and exponent for each bootstrap sample of the sizes
    """

    exponent: float
    exponent_interval: Interval
    factor: float
    factor_interval: Interval
    sizes: int
    least: tuple[float, float]
    most: tuple[float, float]
    offset: float = 0.0
    offset_interval: Interval = (math.nan, math.nan)
    draws: Vector = field(default_factory=lambda: np.empty((0, 3)), repr=False, compare=False)

    @property
    def ratio(self) -> float:
        """Measured y of the largest size divided by that of the smallest."""
        return self.most[1] / self.least[1]

    def at(self, x: npt.ArrayLike) -> Vector:
        """The fitted y."""
        return self.offset + self.factor * np.asarray(x, dtype=np.float64) ** self.exponent


@dataclass(frozen=True)
class Law:
    """The law of one measure over the number of connections, with the labels of its trials.

    words  the setting in words, without the size
    """

    words: str
    topology: str
    backend: str
    metric: Metric
    fit: Fit


@dataclass(frozen=True)
class Marginal:
    """The fit of y = constant + per_connection x connections + per_neuron x neurons, with 95 %
    intervals. `points` is the number of points."""

    per_connection: float
    per_connection_interval: Interval
    per_neuron: float
    per_neuron_interval: Interval
    points: int


def fitted(x: npt.ArrayLike, y: npt.ArrayLike) -> Fit | None:
    """Fit a power law of y over x, with an offset if there are six sizes or more and AICc prefers
    it. Each size is one point; None for fewer than 3 sizes.

    Intervals are computed by bootstrap over the sizes, and are at least as wide as those of
    Student's t, because there are few sizes. They assume that the points scatter about such a law.
    If y follows another curve, they are not valid beyond the measured sizes.
    """
    x, y = _usable(x, y)
    sizes = np.unique(x).size
    if sizes < LEAST_SIZES:
        return None
    once = np.ones((1, x.size))
    law, bends = _power_laws(x, y, once)[0], False
    if x.size >= OFFSET_SIZES:
        offset = _offset_laws(x, y, once)[0]
        bends = _aicc(x, y, offset, 3) < _aicc(x, y, law, 2)
        law = offset if bends else law
    a, b, c = (float(value) for value in law)
    half, draws = _student(x, y, law, bends), np.empty((0, 3))
    if not math.isnan(half[2]):
        weights = _resampled(x.size)
        distinct = np.array([np.unique(x[row > 0]).size for row in weights])
        weights = weights[distinct >= (4 if bends else 2)]
        draws = (_offset_laws if bends else _power_laws)(x, y, weights)
    i, j = int(np.argmin(x)), int(np.argmax(x))
    return Fit(
        exponent=c,
        exponent_interval=_interval(draws[:, 2], c - half[2], c + half[2]),
        factor=b,
        factor_interval=_interval(draws[:, 1], b * math.exp(-half[1]), b * math.exp(half[1])),
        sizes=sizes,
        least=(float(x[i]), float(y[i])),
        most=(float(x[j]), float(y[j])),
        offset=a,
        offset_interval=_interval(draws[:, 0], max(0.0, a - half[0]), a + half[0])
        if bends else (math.nan, math.nan),
        draws=draws,
    )  # fmt: skip


def _resampled(n: int) -> Vector:
    """How often each of n points is drawn, for each bootstrap sample."""
    draws = np.random.default_rng(SEED).integers(n, size=(FIT_RESAMPLES, n))
    return np.apply_along_axis(np.bincount, 1, draws, None, n).astype(np.float64)


def _power_laws(x: Vector, y: Vector, weights: Vector) -> Vector:
    """(B, 3) offset 0, factor and exponent for each row of weights, by least squares of log y over
    log x."""
    u, v = np.log(x), np.log(y)
    total = weights.sum(axis=1)
    mean_u, mean_v = weights @ u / total, weights @ v / total
    scatter = weights @ u**2 / total - mean_u**2
    slope = (weights @ (u * v) / total - mean_u * mean_v) / scatter
    return np.column_stack([np.zeros(total.size), np.exp(mean_v - slope * mean_u), slope])


def _offset_laws(x: Vector, y: Vector, weights: Vector) -> Vector:
    """(B, 3) offset (0 or more), factor and exponent for each row of weights, by least squares of
    relative errors. The law is linear in offset and factor, so only the exponent is searched."""
    x0, y0 = (float(np.exp(np.log(values).mean())) for values in (x, y))
    u, v = x / x0, y / y0
    grid = np.broadcast_to(EXPONENTS, (weights.shape[0], EXPONENTS.size))
    step = float(EXPONENTS[1] - EXPONENTS[0])
    for _ in range(3):  # each time 20 times as fine, around the best so far
        a, b, error = _at_exponents(u, v, weights, grid)
        best = error.argmin(axis=1)
        row = np.arange(best.size)
        c = grid[row, best]
        grid = c[:, None] + np.linspace(-step, step, 41)
        step /= 20
    a, b = a[row, best], b[row, best]
    return np.column_stack([a * y0, b * y0 / x0**c, c])


def _at_exponents(
    u: Vector, v: Vector, weights: Vector, grid: Vector
) -> tuple[Vector, Vector, Vector]:
    """Offset, factor and squared relative errors (B, C), for each exponent of the grid."""
    power = u ** grid[..., None] / v
    w = weights[:, None, :]
    s11, t1 = (weights @ (1 / v**2))[:, None], (weights @ (1 / v))[:, None]
    s12, s22, t2 = ((w * part).sum(axis=2) for part in (power / v, power**2, power))
    with np.errstate(invalid="ignore", divide="ignore"):
        a = (t1 * s22 - t2 * s12) / (s11 * s22 - s12**2)
    a = np.where(np.isfinite(a) & (a > 0), a, 0.0)
    b = (t2 - a * s12) / s22
    error = a**2 * s11 + 2 * a * b * s12 + b**2 * s22 - 2 * a * t1 - 2 * b * t2
    return a, b, np.where(b > 0, error, np.inf)


def _aicc(x: Vector, y: Vector, law: Vector, parameters: int) -> float:
    """AICc of a law, from the errors of log y. Their variance counts as a parameter."""
    n, k = x.size, parameters + 1
    a, b, c = law
    error = np.square(np.log(y) - np.log(a + b * x**c)).mean()
    return float(n * math.log(max(error, EXACT)) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def _student(x: Vector, y: Vector, law: Vector, bends: bool) -> Vector:
    """Half-widths of the 95 % intervals of offset, log factor and exponent, from the law linearised
    at its optimum. NaN with fewer than `FREE` degrees of freedom."""
    a, b, c = law
    power = b * x**c
    total = a + power
    first = 0 if bends else 1
    J = np.column_stack([1 / total, power / total, power * np.log(x) / total])[:, first:]
    half = np.zeros(3)
    free = x.size - J.shape[1]
    if free < FREE:
        return np.full(3, np.nan)
    scale = np.linalg.norm(J, axis=0)
    inverse = np.linalg.pinv((J / scale).T @ (J / scale))
    variance = float(np.square(np.log(y) - np.log(total)).sum()) / free
    half[first:] = stdtrit(free, 0.975) * np.sqrt(variance * np.diag(inverse).clip(0)) / scale
    return half


def _interval(draws: Vector, low: float, high: float) -> Interval:
    """The 95 % interval of the bootstrap's `draws`, extended to `low` and `high`."""
    if draws.size:
        ends = np.quantile(draws, [0.025, 0.975])
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return low, high


def marginal(
    connections: npt.ArrayLike, neurons: npt.ArrayLike, y: npt.ArrayLike
) -> Marginal | str | None:
    """Fit y to connections and neurons, with a constant, by least squares of relative errors. None
    for fewer than 3 sizes.

    Returns the reason instead if there are too few points, or if the effects of connections and
    neurons cannot be distinguished.
    """
    c, n, y = _usable(connections, neurons, y)
    if np.unique(c).size < LEAST_SIZES:
        return None
    A = np.column_stack([np.ones(c.size), c, n]) / y[:, None]
    if c.size < A.shape[1] + FREE:
        return f"{c.size} points, and {A.shape[1] + FREE} are needed"
    if float(np.linalg.cond(A / np.linalg.norm(A, axis=0))) > COLLINEAR:
        return "neurons and connections grow together, so their bytes cannot be distinguished"
    value, about = _least_squares(A, np.ones(c.size))
    draws = np.array([
        _least_squares(A[row], np.ones(c.size))[0]
        for row in np.random.default_rng(SEED).integers(c.size, size=(FIT_RESAMPLES, c.size))
        if np.unique(row).size >= A.shape[1]
    ])  # fmt: skip
    low, high = zip(*(_interval(draws[:, i], value[i] - about[i], value[i] + about[i])
                      for i in range(3)))  # fmt: skip
    return Marginal(
        per_connection=float(value[1]),
        per_connection_interval=(float(low[1]), float(high[1])),
        per_neuron=float(value[2]),
        per_neuron_interval=(float(low[2]), float(high[2])),
        points=c.size,
    )


def _least_squares(A: Vector, b: Vector) -> tuple[Vector, Vector]:
    """The coefficients of A, and the half-widths of their 95 % intervals by Student's t."""
    scale = np.linalg.norm(A, axis=0)
    S = A / scale
    found = np.linalg.lstsq(S, b, rcond=None)[0]
    free = b.size - A.shape[1]
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


def laws(report_data: ReportData) -> Iterator[Law]:
    """Yield the law of each measure over the connections, for each setting, topology and backend
    with three sizes or more. Time per epoch is left out if the number of samples depends on the
    size."""
    frame = report_data.frame
    # records from before `train_samples` took the rate over the seconds of the steps alone
    samples = frame["train_samples"].fillna(
        frame["samples_per_second"] * frame["train_seconds"] / frame["epochs"]
    )
    frame = frame.assign(
        samples=samples, words=setting_labels(report_data, *SIZE),
        family=families(report_data, *SIZE),
        **{PER_CONNECTION.name: frame["epoch_seconds"] / (frame[SIZES] * samples)},
    )  # fmt: skip
    keys = ["words", "topology_label", "backend_label", "family", "apart"]
    for (words, topology, backend, *_), part in groups(frame[frame["ok"]], keys):
        uneven = part["samples"].max() > SAME * part["samples"].min()
        for name in MEASURES:
            at = points(part, SIZES, [name])
            fit = fitted(at[SIZES], at[name])
            if fit is not None and not (name == "epoch_seconds" and uneven):
                metric = report_data.metrics.get(name, PER_CONNECTION)
                yield Law(words, topology, backend, metric, fit)


def fit_rows(frame: pd.DataFrame, x: str, y: str, by: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each group of trials with equal `by`: the law of `y` over `x`, None for
    unknown numbers. Trials of different machines, and contended trials, are in separate groups."""
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
        fit = fitted(at[x], at[y])
        sizes, numbers = len(at), [math.nan] * len(COLUMNS)
        if fit is not None:
            sizes, numbers = fit.sizes, [
                fit.exponent, *fit.exponent_interval, fit.factor, *fit.factor_interval,
                fit.offset, *fit.offset_interval, fit.least[0], fit.most[0],
            ]  # fmt: skip
        known = (None if math.isnan(value) else float(value) for value in numbers)
        row = {**dict(zip(keys, values)), "x": x, "y": y, "sizes": sizes}
        yield {**row, **dict(zip(COLUMNS, known))}


def _usable(*columns: npt.ArrayLike) -> tuple[Vector, ...]:
    """The columns restricted to rows in which every number is finite and above 0."""
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    return tuple(table[(np.isfinite(table) & (table > 0)).all(axis=1)].T)
