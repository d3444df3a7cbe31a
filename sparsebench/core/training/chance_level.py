"""What the best guess that looks at no sample scores on the test part: the level of chance."""

from __future__ import annotations

import numpy as np

from sparsebench.core.data.prepare import TrialData
from sparsebench.core.protocols import ConstantGuess

BATCH = 4096


def guess_scores(data: TrialData) -> dict[str, float]:
    """The objective's scores by name; empty where its targets know no such guess, or are the
    inputs."""
    known, targets = data.train.targets, data.test.targets
    if known is None or targets is None or not isinstance(data.targets, ConstantGuess):
        return {}
    best, score = data.targets.constant(known), data.targets.score()
    for start in range(0, len(targets), BATCH):
        T = targets[start : start + BATCH]
        score.add(np.repeat(best, len(T), axis=1), T.T if T.ndim == 2 else T)
    return score.values()
