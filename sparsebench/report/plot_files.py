"""The plots of a report as PNG files, as far as the trials have something to show in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import result_words, upper_first
from sparsebench.errors import SparsebenchError, printable
from sparsebench.report.plots import learning_curves, result_memory
from sparsebench.report.ranks import critical_differences
from sparsebench.report.scaling import scaling

DPI = 200
"""Twice the pixels of a page at its width of 8 inches."""


@dataclass(frozen=True)
class Plot:
    """A plot that was written."""

    path: Path
    title: str
    caption: str


def write_plots(evidence: Evidence, folder: Path, prefix: str = "") -> list[Plot]:
    """Write every plot that these trials have something to show in."""
    heading, best = result_words(evidence.primary)
    upwards = "Up" if best == "highest" else "Down"
    plots = []
    for name, title, caption, draw in (
        ("learning-curves", f"{upper_first(evidence.primary.heading)} by epoch",
         "Line: mean over seeds; band: one standard deviation.", learning_curves),
        ("accuracy-memory", f"{heading} against memory",
         f"{upwards} and to the left is better; the larger the marker, the longer an epoch. "
         "Bars: one standard deviation over seeds.", result_memory),
        ("scaling", "Time and memory by size",
         "Both axes are logarithmic. Arrows: trials that ended at a limit, which is a lower "
         "bound, or at the edge where no bound is known.", scaling),
        ("critical-differences", "Average ranks over the data sets",
         "The best at the left. A bar joins methods that the Nemenyi test cannot tell apart.",
         critical_differences),
    ):  # fmt: skip
        figure = draw(evidence)
        if figure is None:
            continue
        path = folder / f"{prefix}{name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=DPI, metadata={"Software": "sparsebench"})
        except OSError as error:
            reason = error.strerror or str(error)
            raise SparsebenchError(f"cannot write the plot {path}: {reason}; see -o") from error
        plots.append(Plot(path, printable(title), caption))
    return plots
