"""What a comparison is asked for, on the command line and in a notebook alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sparsebench.analysis import baselines
from sparsebench.analysis.gates import Gates, fail_if
from sparsebench.analysis.gates_file import check_alpha, read_gates
from sparsebench.analysis.sides import Side, side
from sparsebench.metrics import Metrics
from sparsebench.store.store import Store


def side_named(shelf: Store, name: str) -> Side:
    """A run by its id, a run's or store's folder, a baseline by name or file: the first of these
    that there is. A folder's name needs no slash where no run is called so."""
    folder = Path(name)
    if name == "latest" or name in shelf.runs():
        return side(shelf.run(name))
    if (folder / "manifest.json").is_file() or (folder / "store.json").is_file():
        return side(shelf.run(folder))
    if name in baselines.names(shelf) or folder.is_file():
        file = baselines.find(shelf, name)
        return baselines.read(file).side(file)
    return side(shelf.run(folder if folder.is_dir() else name))


def gates_asked(
    file: Path | None,
    given: Sequence[str],
    min_seeds: int | None,
    alpha: float | None,
    strict: bool,
    defaults: Gates,
    time_gate: bool = False,
    metrics: Metrics | None = None,
) -> Gates:
    """What is given, over the file, over the defaults.

    metrics  those of the two sides; the built-in ones where None
    """
    defaults = defaults.of(metrics or Metrics())
    gates = read_gates(file, defaults, metrics) if file is not None else defaults
    if time_gate:
        gates = gates.failing_on_time()
    gates = gates.with_gates(*(fail_if(one, metrics) for one in given))
    return replace(
        gates,
        alpha=gates.alpha if alpha is None else check_alpha(alpha),
        min_seeds=gates.min_seeds if min_seeds is None else min_seeds,
        strict=gates.strict or strict,
    )
