"""Growing connections."""

from __future__ import annotations

import numpy as np

from sparsebench.core.protocols import Initializer, LayerView
from sparsebench.core.sparse.csr import Change, Mask
from sparsebench.core.sparse.sampling import free_positions


def regrown_at_random(
    layer: LayerView,
    keep: Mask,
    rng: np.random.Generator,
    initializer: Initializer | None = None,
) -> Change:
    """Drop what `keep` leaves out and grow as many connections at random free positions.

    Those just dropped are free too, so that a full layer works. Closed rows and columns get
    nothing; where too few positions are free, fewer are grown. Values come from the model's
    initializer unless one is given.
    """
    pattern = layer.W.pattern
    count = int(keep.size - np.count_nonzero(keep))
    rows, columns = free_positions(
        pattern, keep, count, rng, layer.closed_rows, layer.closed_columns
    )
    if initializer is None:
        values = layer.draw(rows.size, rng)
    else:
        values = initializer.draw(pattern, rows.size, rng)
    return Change(keep, rows, columns, values)
