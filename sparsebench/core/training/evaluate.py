"""Loss and accuracy over samples. Every sample counts, those of the last, smaller batch too."""

from __future__ import annotations

import numpy as np

from sparsebench.core.data.samples import Samples
from sparsebench.core.protocols import Network


def evaluate(network: Network, samples: Samples, batch_size: int) -> tuple[float, float]:
    """(mean loss, accuracy as a fraction)."""
    total = samples.labels.size
    loss, correct = 0.0, 0
    for start in range(0, total, batch_size):
        rows = np.arange(start, min(start + batch_size, total))
        y = samples.labels[rows]
        Z = network.outputs(samples.batch(rows))
        loss += network.loss(Z, y) * rows.size
        correct += int(np.count_nonzero(Z.argmax(axis=0) == y))
    return loss / total, correct / total
