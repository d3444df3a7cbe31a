"""The two sides and the gates of a comparison, from names and options of any caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sparsebench.analysis.gates import Gates, fail_if
from sparsebench.analysis.gates_file import check_alpha, read_gates
from sparsebench.analysis.sides import Side, side
from sparsebench.metrics import Metrics
from sparsebench.store.store import Store


def side_named(shelf: Store, name: str) -> Side:
    """A run by its id, a run's or store's folder, a baseline by name or file: the first of these
    that exists. A folder's name needs no slash where no run has that id."""
    from sparsebench.analysis import baseline

    folder = Path(name)
    if name == "latest" or name in shelf.runs():
        return side(shelf.run(name))
    if (folder / "manifest.json").is_file() or (folder / "store.json").is_file():
        return side(shelf.run(folder))
    if name in baseline.names(shelf) or folder.is_file():
        file = baseline.find(shelf, name)
        return baseline.read(file).side(file)
    return side(shelf.run(folder if folder.is_dir() else name))


def resolve_gates(
    file: Path | None,
    fail_if_any: Sequence[str],
    min_seeds: int | None,
    alpha: float | None,
    strict: bool,
    defaults: Gates,
    time_gate: bool = False,
    metrics: Metrics | None = None,
) -> Gates:
    """The options over the file, over the defaults.

    metrics  those of the two sides; the built-in ones where None
    """
    defaults = defaults.of(metrics or Metrics())
    gates = read_gates(file, defaults, metrics) if file is not None else defaults
    if time_gate:
        gates = gates.failing_on_time()
    gates = gates.with_gates(*(fail_if(one, metrics) for one in fail_if_any))
    return replace(
        gates,
        alpha=gates.alpha if alpha is None else check_alpha(alpha),
        min_seeds=gates.min_seeds if min_seeds is None else min_seeds,
        strict=gates.strict or strict,
    )
