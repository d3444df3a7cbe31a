"""The report's section on inference through the networks of the Graph Challenge."""

from __future__ import annotations

from collections.abc import Iterator

from sparsebench.analysis.footnote_marks import noise_footnote, noisy
from sparsebench.analysis.report_data import CELL, ReportData, groups
from sparsebench.analysis.statistics import Spread
from sparsebench.report.document import Block, number, table
from sparsebench_plugins.graph_challenge.trainer import METRICS

NOTE = (
    "Inference: a pass over all images, making batches dense included. A rate counts every edge "
    "for every image, whether the image's row is dead or not, as the Graph Challenge does. Where "
    "the official rows are known a trial fails if others survive; elsewhere network and images are "
    "generated, and nobody knows which rows should."
)


def section(report_data: ReportData) -> Iterator[Block]:
    """Yield a table with a row for the trials that differ only in the seed, and an explanation of
    its numbers; nothing if there are no trials of inference."""
    frame = report_data.ok
    if METRICS[0].name not in frame or frame[METRICS[0].name].isna().all():
        return
    frame = frame[frame[METRICS[0].name].notna()]
    rows = []
    for (label, _, backend), cell in groups(frame, CELL):
        spreads = [Spread.of(cell[metric.name]) for metric in METRICS]
        known = cell["row_agreement"].notna().all()
        first, *others = zip(METRICS[:-1], spreads, strict=False)
        rows.append(
            [label, backend, number(*first, tail=noisy(cell)), *(number(*one) for one in others),
             "yes" if known else "not known", len(cell)]
        )  # fmt: skip
    setting = report_data.varied[0] if len(report_data.varied) == 1 else "setting"
    header = [setting, "backend", *(metric.heading for metric in METRICS[:-1]),
              "as the official ones", "n"]  # fmt: skip
    if made := table(header, rows, left=2):
        yield made
        yield NOTE
        yield from noise_footnote(frame)
