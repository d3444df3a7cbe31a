"""The sections on how time and memory grow: power laws, marginal bytes, and the sizes at which
truly sparse training costs less than simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sparsebench.analysis.crossover import (
    ABOVE,
    BELOW,
    Crossing,
    Crossover,
    crossings,
    truly_sparse,
)
from sparsebench.analysis.fit_crossings import fit_crossings
from sparsebench.analysis.fits import SIZES, Law, laws, marginal
from sparsebench.analysis.number_format import (
    UNKNOWN,
    count,
    decimals_for,
    fixed,
    in_unit,
    join,
    one,
    ratio,
    sentence_list,
)
from sparsebench.analysis.report_data import (
    SIZE,
    SPARSITY,
    ReportData,
    families,
    groups,
    setting_labels,
    topology_labels,
)
from sparsebench.analysis.statistics import Interval
from sparsebench.report.document import Block, Cell, Section, Table, section
from sparsebench.report.document import table as table_of

NOTE_FITS = (
    "offset + factor x connections^exponent, by least squares, a point per size; the offset is "
    "there where AICc asks for it, from six sizes on. In parentheses 95 % intervals by bootstrap "
    "over the sizes, never narrower than Student's t and not known below four sizes. Ratio: the "
    "largest size over the smallest, as measured. Time per epoch is not fitted where the number of "
    "samples depends on the size."
)
NOTE_MARGINAL = (
    "Bytes of the net peak that a connection and a neuron add: least squares of relative errors "
    "over all sizes and densities, with a constant; 95 % intervals as above."
)
NOTE_FITS_CROSS = (
    "Where the fitted laws of a truly sparse and a simulated backend are equal, between the sizes "
    "that both trained, with the 95 % interval by bootstrap over the sizes."
)
NOTE_CROSSOVER = (
    "The place at which a truly sparse backend and a simulated one take the same, straight between "
    "the two neighbouring points in log-log: at lower densities, or larger sizes, truly sparse is "
    "cheaper. Below or above: one of the two is cheaper at every point. Over seeds: the range "
    "over every combination of seeds; not known with one. Failed trials are no points."
)


# --- fits ----------------------------------------------------------------------------


def fits(report_data: ReportData) -> list[Section]:
    """The sections with tables of laws, of their crossings and of marginal bytes; empty with fewer
    than three sizes."""
    found = list(laws(report_data))
    bytes_made, refused = marginal_table(report_data)
    pairs = [
        (laws_table(found), NOTE_FITS),
        (fit_crossings_table(report_data, found), NOTE_FITS_CROSS),
        (bytes_made, NOTE_MARGINAL),
    ]
    blocks: list[Block] = [one for pair in pairs if pair[0] for one in pair if one]
    if refused:
        blocks.append(f"Bytes by connection and neuron are not fitted: {'; '.join(refused)}.")
    return [Section("Growth with size", blocks)] if blocks else []


def fit_crossings_table(report_data: ReportData, found: list[Law]) -> Table | None:
    """A table with a row per pair of backends whose laws cross; None if there are none."""
    names = dict(zip(report_data.frame["backend_label"], report_data.frame["backend"]))
    kinds = truly_sparse(list(dict.fromkeys(names.values()))) if len(names) > 1 else {}
    labelled = {label: kinds[name] for label, name in names.items() if name in kinds}
    rows = []
    for each in fit_crossings(found, labelled):
        ends = [
            "below" if end == 0 else "above" if math.isinf(end) else _rounded(end)
            for end in (each.at, *each.interval)
            if not math.isnan(end)
        ]
        known = f"{ends[1]} to {ends[2]}" if len(ends) == 3 else "not known"
        rows.append(
            [each.one.words, each.one.topology, each.one.backend, each.other.backend,
             each.one.metric.heading, Cell(ends[0], each.at), known]
        )  # fmt: skip
    header = ["setting", "topology", "truly sparse", "simulated", "measure",
              "equal at connections", "95 % interval"]  # fmt: skip
    return table_of(header, rows, left=5)


def laws_table(found: list[Law]) -> Table | None:
    """A table with a row per law; None if there are none."""
    rows = []
    for law in found:
        fit = law.fit
        exponents = [fixed(round(x, 2) + 0.0, 2) for x in (fit.exponent, *fit.exponent_interval)]
        factors = [in_unit(law.metric, one(x)) for x in (fit.factor, *fit.factor_interval)]
        ends = [Cell(in_unit(law.metric, one(y)), y) for _, y in (fit.least, fit.most)]
        offset = Cell("none", 0.0)
        if fit.offset:
            offsets = [in_unit(law.metric, one(x)) for x in (fit.offset, *fit.offset_interval)]
            offset = _between(offsets, fit.offset_interval, fit.offset)
        rows.append(
            [law.words, law.topology, law.backend, law.metric.heading,
             _between(exponents, fit.exponent_interval, fit.exponent),
             _between(factors, fit.factor_interval, fit.factor), offset,
             Cell(f"{count(fit.least[0])} to {count(fit.most[0])}", fit.least[0]), *ends,
             Cell(ratio(fit.ratio), fit.ratio), fit.sizes]
        )  # fmt: skip
    header = ["setting", "topology", "backend", "measure", "exponent", "factor", "offset",
              "connections",
              "at the smallest", "at the largest", "ratio", "sizes"]  # fmt: skip
    return table_of(header, rows, left=4)


def marginal_table(report_data: ReportData) -> tuple[Table | None, list[str]]:
    """A table of the bytes that a connection and a neuron add to the net peak, for each setting,
    topology and backend, fitted over sizes and densities together; None if there are none. Also
    returns the reasons why some were not fitted."""
    keys = (*SIZE, *SPARSITY)
    frame = report_data.frame.assign(
        words=setting_labels(report_data, *keys),
        family=families(report_data, *keys),
        topology_label=topology_labels(report_data, *SPARSITY),
    )
    rows, refused = [], list[str]()
    by = ["words", "topology_label", "backend_label", "family", "apart"]
    for labels, part in groups(frame[frame["ok"]], by):
        # a point per cell and not per size: equal numbers of connections lie in unequal networks
        at = part.groupby("cell", sort=False)[[SIZES, "neurons", "net_peak_bytes"]].mean().dropna()
        found = marginal(at[SIZES], at["neurons"], at["net_peak_bytes"])
        if isinstance(found, str):
            refused.append(f"{join(*labels[:3])}: {found}")
        elif found is not None:
            costs = [
                _between([f"{fixed(x, 1)} B" for x in (value, *interval)], interval, value)
                for value, interval in (
                    (found.per_connection, found.per_connection_interval),
                    (found.per_neuron, found.per_neuron_interval),
                )
            ]
            rows.append([*labels[:3], *costs, found.points])
    header = ["setting", "topology", "backend", "bytes per connection", "bytes per neuron",
              "points"]  # fmt: skip
    return table_of(header, rows, left=3), refused


def _between(shown: Sequence[str], interval: Interval, key: float) -> Cell:
    """A cell with a value and its interval: `0.98 (0.91 to 1.05)`."""
    if math.isnan(key):
        return Cell(UNKNOWN)
    value, low, high = shown
    known = "interval not known" if math.isnan(interval[0]) else f"{low} to {high}"
    return Cell(f"{value} ({known})", key)


# --- crossovers ----------------------------------------------------------------------


def crossovers(report_data: ReportData) -> list[Section]:
    """The section on crossovers; empty if no two backends can be compared."""
    names = list(dict.fromkeys(report_data.frame["backend_name"]))
    kinds = truly_sparse(names) if len(names) > 1 else {}
    unknown = [name for name in names if name not in kinds]
    left_out = f"Left out, not known here whether truly sparse: {sentence_list(unknown)}."
    return section(
        "Where truly sparse beats simulated", crossover_table(crossings(report_data, kinds)),
        NOTE_CROSSOVER, left_out if unknown else None,
    )  # fmt: skip


def crossover_table(found: list[Crossing]) -> Table | None:
    """A table with a row per pair of backends and setting; None if there are none."""
    rows = []
    for at in found:
        cells = [
            cell
            for cost, neurons in zip((at.time, at.memory), at.neurons)
            for cell in _crossover_cells(cost, at.along, neurons)
        ]
        points = max(one.points for one in (at.time, at.memory) if one)
        rows.append([at.setting, at.topology, at.sparse, at.simulated, *cells, points])
    header = ["setting", "topology", "truly sparse", "simulated", "time equal at", "over seeds",
              "net peak equal at", "over seeds", "points"]  # fmt: skip
    return table_of(header, rows, left=4)


def _crossover_cells(
    found: Crossover | None, along: str, neurons: Crossover | None
) -> tuple[Cell, Cell]:
    """The two cells of a table on a crossover: the place such as `6.2 %`, and its range over
    seeds."""
    if found is None:
        return Cell(UNKNOWN), Cell(UNKNOWN)
    at = _place(found.at, found, along)
    if neurons is not None and not math.isnan(neurons.at):
        at = f"{at} ({_place(neurons.at, neurons, 'neurons')})"
    # beyond the points it sorts next to the last of them
    key = min(max(found.at, found.least * 0.999), found.most * 1.001)
    first = Cell(at, None if math.isnan(found.at) else key)
    if math.isnan(found.low) or math.isnan(found.high):
        return first, Cell("not known")
    low, high = (_place(end, found, along) for end in (found.low, found.high))
    return first, Cell(low if low == high else f"{low} to {high}", found.low)


def crossover_sentence(found: list[Crossing]) -> str:
    """A sentence on the crossover of the first pair of backends, with its range over settings,
    along densities if these vary; empty if no pair has a crossover."""
    for along in ("density", "connections"):
        alike = [one for one in found if one.along == along]
        first = [(one.sparse, one.simulated) for one in alike[:1]]
        pair = [one for one in alike if (one.sparse, one.simulated) in first]
        if not pair:
            continue
        costs: dict[str, list[str]] = {}
        for name, cost in (("time", "time per epoch"), ("memory", "net peak memory")):
            known = [one for at in pair if (one := getattr(at, name)) and not math.isnan(one.at)]
            if known:
                how, where = _compared(known, along, pair[0].simulated)
                costs.setdefault(where, []).append(f"{how} {cost}")
        if costs:
            parts = [f"{sentence_list(what)} {where}" for where, what in costs.items()]
            return f"{pair[0].sparse} takes {', and '.join(parts)}."
    return ""


def _compared(known: list[Crossover], along: str, simulated: str) -> tuple[str, str]:
    """How a truly sparse backend compares with a simulated one: `less` or `more`, with the
    densities or sizes at all of which it does so; or `as much`, with the range of crossovers."""
    ends = {one.at for one in known}
    least, most = min(one.least for one in known), max(one.most for one in known)
    if ends <= {BELOW} or ends <= {ABOVE}:
        less = (along == "connections") == (BELOW in ends)  # sparse gains with size, not density
        points = "density" if along == "density" else "size"
        span = f"from {SHOW[along](least).removesuffix(' connections')} to {SHOW[along](most)}"
        return "less" if less else "more", f"than {simulated} at every {points} {span}"
    return "as much", f"as {simulated} {_range(known, along)}"


def _range(known: list[Crossover], along: str) -> str:
    """The range of the crossovers between measured points, followed by the others: `at a density of
    6.2 % to 8.0 %, or if at all above 16 %`."""
    inside = sorted(one.at for one in known if one.at not in (BELOW, ABOVE))
    ends = list(dict.fromkeys(map(SHOW[along], inside[:1] + inside[-1:])))
    outside = dict.fromkeys(_place(one.at, one, along) for one in known if one.at in (BELOW, ABOVE))
    of = "at a density of " if along == "density" else "at "
    spans = [of + " to ".join(ends)] if ends else []
    return ", or ".join([*spans, *(f"if at all {place}" for place in outside)])


def _place(value: float, of: Crossover, along: str) -> str:
    """The place of a crossover in words: `6.2 %`, `below 1.0 %`, `above 50 %`."""
    if math.isnan(value):
        return "no single place"
    if value == BELOW:
        return f"below {SHOW[along](of.least)}"
    return f"above {SHOW[along](of.most)}" if value == ABOVE else SHOW[along](value)


def _rounded(value: float) -> str:
    """A count rounded to three digits."""
    return count(round(value, -max(0, math.floor(math.log10(value)) - 2)))


SHOW: dict[str, Callable[[float], str]] = {
    "density": lambda value: f"{fixed(value * 100, decimals_for(value * 100, 2))} %",
    "connections": lambda value: f"{_rounded(value)} connections",
    "neurons": lambda value: f"{_rounded(value)} neurons",
}
