"""`run.plot`: the pictures of the report, as matplotlib figures."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from sparsebench.errors import NothingMatched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sparsebench.analysis.evidence import Evidence
    from sparsebench.store.store import StoredRun


class Plots:
    """The report's plots as matplotlib figures: a notebook displays them, `figure.savefig(file)`
    saves them.

    Raises NothingMatched if the trials have no data for a plot; the message says what trials it
    needs.
    """

    def __init__(self, stored: StoredRun) -> None:
        self._stored = stored

    def __repr__(self) -> str:
        return "<plots: accuracy(), curves(), scaling(), ranks()>"

    def accuracy(self) -> Figure:
        """The primary metric against net peak memory, a marker per cell, its area the time."""
        from sparsebench.report.plots import result_memory

        return self._drawn(
            result_memory, "accuracy", "two cells with a primary metric and a net peak"
        )

    def curves(self) -> Figure:
        """The primary metric by epoch."""
        from sparsebench.report.plots import learning_curves

        return self._drawn(learning_curves, "curves", "trials that finished two epochs")

    def scaling(self) -> Figure:
        """Time and memory against the number of connections."""
        from sparsebench.report.scaling import scaling

        return self._drawn(scaling, "scaling", "networks whose connections differ four times")

    def ranks(self) -> Figure:
        """Average ranks over the data sets, and the methods that cannot be told apart."""
        from sparsebench.report.ranks import critical_differences

        return self._drawn(critical_differences, "ranks", "two methods on three data sets")

    @cached_property
    def _evidence(self) -> Evidence:
        from sparsebench.analysis.evidence import evidence

        return evidence([self._stored]).trained

    def _drawn(self, draw: Callable[[Evidence], Figure | None], name: str, needs: str) -> Figure:
        figure = draw(self._evidence)
        if figure is None:
            raise NothingMatched(
                f"run {self._stored.id}: nothing to plot by {name}(): needs {needs}"
            )
        return displayable(figure)


def displayable(figure: Figure) -> Figure:
    """The same figure, which a notebook shows without pyplot's inline backend."""

    def png() -> bytes:
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        return picture.getvalue()

    setattr(figure, "_repr_png_", png)  # noqa: B010 - a method of this one figure
    return figure
