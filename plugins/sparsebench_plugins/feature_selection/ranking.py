"""Scores all features at once, selects the best ones and judges them."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.training.work import Result, Work
from sparsebench_plugins.feature_selection.judges import classes_of, judged
from sparsebench_plugins.feature_selection.training import best_of
from sparsebench_plugins.sklearn_trainers.fitting import inputs


class Scorer(Protocol):
    """A trainer that scores features without a network."""

    @property
    def features(self) -> int: ...

    @property
    def judges(self) -> tuple[Any, ...]: ...

    @property
    def computed_by(self) -> str: ...

    def scores(self, X: Any, y: Array, seed: int) -> Array: ...


def rank_and_judge(scorer: Scorer, work: Work) -> Result:
    """Score the features, select the best and judge them. The scaled copy of the training samples
    counts as memory of the trial, like the batches of a network."""
    train = work.data.train
    y = np.unique(classes_of(train), return_inverse=True)[1]
    started_at = time.perf_counter()
    with work.meter.phase("build"):
        X = inputs(train)
    made = time.perf_counter()
    with work.meter.phase("train"):
        chosen = best_of(scorer.scores(X, y, work.seed), scorer.features)
    fitted = time.perf_counter()
    measures: dict[str, float | int | None] = {
        "data_seconds": made - started_at,
        "train_seconds": fitted - made,
        "topology_seconds": 0.0,
        "selection_seconds": 0.0,
        "selection_net_peak_bytes": work.meter.net_peak_bytes(),
        "train_samples": len(train),
        "bytes_sent": 0,
    }
    del X
    measures.update(judged(work, chosen, scorer.judges))
    return Result(
        measures=measures,
        layers=[],
        network=None,  # type: ignore[arg-type]
        computed_by=scorer.computed_by,
    )
