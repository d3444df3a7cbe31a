"""The level of chance: the test scores of the best constant prediction."""

from __future__ import annotations

import numpy as np

from sparsebench.core.data.prepare import TrialData
from sparsebench.core.protocols import ConstantGuess

BATCH = 4096


def guess_scores(data: TrialData) -> dict[str, float]:
    """The objective's scores of the best constant prediction by name; empty if none is known or the
    targets are the inputs."""
    known, targets = data.train.targets, data.test.targets
    if known is None or targets is None or not isinstance(data.targets, ConstantGuess):
        return {}
    best, score = data.targets.constant(known), data.targets.score()
    for start in range(0, len(targets), BATCH):
        T = targets[start : start + BATCH]
        score.add(np.repeat(best, len(T), axis=1), T.T if T.ndim == 2 else T)
    return score.values()
