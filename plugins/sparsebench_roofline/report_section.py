"""The report's section on operations that were compared with the roofline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from sparsebench.analysis.footnote_marks import noise_footnote, noisy
from sparsebench.analysis.number_format import UNKNOWN, count, sentence_list
from sparsebench.analysis.report_data import CELL, ReportData, groups
from sparsebench.analysis.statistics import Spread
from sparsebench.core.trial import Trial
from sparsebench.report.document import Block, Cell, Chart, Table, table
from sparsebench.report.line_chart import line

NOTE = (
    "Share of the time that the binding limit allows at best, of the time measured: the median of "
    "the repeats and, in parentheses, the shortest; then the limit. The machine's bandwidths and "
    "flops were measured in the same process, in turns with the operation."
)


def section(report_data: ReportData) -> Iterator[Block]:
    """Yield a sentence on each backend's shares of the roofline, a chart, the table, and a note on
    how to read it; nothing if no operation was timed."""
    made = kernels_table(report_data)
    if made:
        yield " ".join(shares_of_backends(report_data))
        if chart := shares_by_size(report_data):
            yield chart
        yield made
        yield NOTE
        yield from noise_footnote(report_data.timed.ok)


def shares_of_backends(report_data: ReportData) -> list[str]:
    """A sentence per backend with the smallest and the largest of its shares of the roofline, which
    are the time that the binding limit allows divided by the measured time."""
    texts = []
    for backend, frame in groups(report_data.timed.ok, ["backend_label"]):
        shares = frame["roofline_share"].dropna()
        if not shares.empty:
            low, high = (f"{share * 100:.0f}" for share in (shares.min(), shares.max()))
            span = low if low == high else f"{low} to {high}"
            texts.append(f"The operations of {backend} reach {span} % of what this machine allows.")
    return texts


def shares_by_size(report_data: ReportData) -> Chart | None:
    """A chart of the shares of the roofline by network size: a panel per batch size, a color per
    operation. None if only one size was timed."""
    timed = report_data.timed
    if timed.ok["neurons"].nunique() < 2:
        return None
    color = "trainer.kernel" if timed.ok["kernel"].nunique() > 1 else ""
    made = line(timed, "neurons", "roofline_share", color=color, panel="batch_size", log=["x"])
    return made and replace(
        made, name="kernels", title="Share of the roofline by network size",
        caption="Share of the time that the binding limit allows at best, of the time measured. "
        "A panel for each batch size; a line joins networks that differ in size only.",
    )  # fmt: skip


def kernels_table(report_data: ReportData) -> Table | None:
    """A table of the shares of the roofline and the binding limits: a row per operation, network
    size and method, a column per batch size. None if there are no rows."""
    frame = report_data.timed.frame
    trials = [report_data.records[int(str(i))].trial for i in frame.index]
    frame = frame.assign(variant=[_variant(trial) for trial in trials])
    keys = ["kernel", *CELL[1:], "neurons"]
    keys += [key for key in ("variant", "machine", "contended") if frame[key].nunique() > 1]
    batches = sorted(frame["batch_size"].unique())
    rows = []
    for labels, part in groups(frame[frame["ok"]], keys):
        words = [count(label) if key == "neurons" else str(label)
                 for key, label in zip(keys, labels)]  # fmt: skip
        cells = [_share_of_roofline(part[part["batch_size"] == batch]) for batch in batches]
        rows.append([*words, *cells])
    names = {"topology_label": "topology", "backend_label": "backend"}
    header = [*(names.get(key, key) for key in keys), *(f"batch {batch}" for batch in batches)]
    return table(header, rows, left=len(keys))


def _variant(trial: Trial) -> str:
    """The trainer's parameters without the kernel's name."""
    return ", ".join(f"{k}={v}" for k, v in trial.trainer.items() if k not in ("name", "kernel"))


def _share_of_roofline(cell: pd.DataFrame) -> Cell:
    """A cell such as `71 % (88 %), row gather, L3`: the share for the median and for the shortest
    repeat, and the binding limit."""
    share = Spread.of(cell["roofline_share"]).mean
    best = Spread.of(cell["roofline_best_share"]).mean
    if share != share or best != best:
        return Cell(UNKNOWN)
    bounds = sentence_list(list(dict.fromkeys(cell["bound"])), "or")
    return Cell(f"{share * 100:.0f} % ({best * 100:.0f} %), {bounds}{noisy(cell)}", share)
