"""Loss and metrics over samples. Every sample counts, those of the last, smaller batch too."""

from __future__ import annotations

import numpy as np

from sparsebench.core.data.examples import Examples
from sparsebench.core.protocols import Network, Targets


def evaluate(
    network: Network, examples: Examples, targets: Targets, batch_size: int
) -> tuple[float, dict[str, float]]:
    """The mean loss, and the objective's metrics by name."""
    total = len(examples)
    loss, score = 0.0, targets.score()
    for start in range(0, total, batch_size):
        rows = np.arange(start, min(start + batch_size, total))
        X, T = examples.batch(rows)
        Z = network.outputs(X)
        loss += network.loss(Z, T) * rows.size
        score.add(Z, T)
    return loss / total, score.values()
