"""Drawing positions for connections: exact, without replacement, in O(count) memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.sparse.csr import CsrPattern, Keys, Mask


def unique_sorted(values: Keys) -> Keys:
    """Distinct values in rising order. Sorts in place; `np.unique` is slower by far."""
    values.sort()
    if values.size == 0:
        return values
    first = np.empty(values.size, dtype=bool)
    first[0] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def distinct_below(n: int, count: int, rng: np.random.Generator) -> Keys:
    """`count` distinct integers below `n` in rising order, every set equally likely.

    O(count) memory. Draws with replacement, keeps what is distinct and tops up what is
    missing: relabelling 0..n-1 changes nothing in that, so no set is preferred.
    """
    if not 0 <= count <= n:
        raise ValueError(f"cannot draw {count} distinct integers below {n}")
    if 2 * count > n:
        left_out = distinct_below(n, n - count, rng)
        chosen = np.ones(n, dtype=bool)  # O(n), but here n < 2 count
        chosen[left_out] = False
        return np.flatnonzero(chosen).astype(np.int64)
    found = np.empty(0, dtype=np.int64)
    while found.size < count:
        missing = rng.integers(n, size=count - found.size, dtype=np.int64)
        found = unique_sorted(np.concatenate([found, missing]))
    return found


def random_pattern(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> CsrPattern:
    """`nnz` connections, every set of positions equally likely."""
    size = shape[0] * shape[1]
    if nnz == size:
        return CsrPattern.full(shape)
    return CsrPattern.from_keys(shape, distinct_below(size, nnz, rng))


def free_positions(
    shape: tuple[int, int],
    taken: Keys,
    count: int,
    rng: np.random.Generator,
    closed_rows: Mask | None = None,
    closed_columns: Mask | None = None,
) -> Keys:
    """`count` positions that are not taken and not closed, in rising order.

    taken           row D + column of the kept connections, rising
    closed_rows     (K,) output neurons that get no connection; likewise closed_columns (D,)

    Every set of free positions is equally likely. Proposes positions in a fixed order and
    rejects those taken, so that one more or less taken changes one growth and not all that
    follow: backends whose rounding differs stay together. Gives fewer than `count` if fewer
    are free. Memory O(taken + count): where less than half of the open positions are free,
    walking all of them is O(taken) too.
    """
    D = shape[1]
    rows = _open(shape[0], closed_rows)
    columns = _open(D, closed_columns)
    size = rows.size * columns.size
    if closed_rows is not None or closed_columns is not None:
        inside = _is_open(taken // D, closed_rows) & _is_open(taken % D, closed_columns)
        taken = taken[inside]
    free = size - taken.size
    count = min(count, free)
    if count == 0:
        return np.empty(0, dtype=np.int64)

    def keys_of(ranks: Keys) -> Keys:
        keys: Keys = rows[ranks // columns.size] * D + columns[ranks % columns.size]
        return keys

    if 2 * (taken.size + count) > size:
        order = keys_of(rng.permutation(size))
        found = order[~_contains(taken, order)][:count]
    else:
        found = np.empty(0, dtype=np.int64)
        while found.size < count:
            proposed = keys_of(rng.integers(size, size=count + 64, dtype=np.int64))
            proposed = proposed[~_contains(taken, proposed)]
            found = _distinct_in_order(np.concatenate([found, proposed]))[:count]
    found.sort()
    return found


def _open(size: int, closed: Mask | None) -> Keys:
    return np.arange(size, dtype=np.int64) if closed is None else np.flatnonzero(~closed)


def _is_open(index: Keys, closed: Mask | None) -> Any:
    return np.ones(index.size, dtype=bool) if closed is None else ~closed[index]


def _contains(sorted_keys: Keys, keys: Keys) -> npt.NDArray[np.bool_]:
    if sorted_keys.size == 0:
        return np.zeros(keys.size, dtype=bool)
    at = np.searchsorted(sorted_keys, keys)
    at[at == sorted_keys.size] = 0
    return np.asarray(sorted_keys[at] == keys)


def _distinct_in_order(keys: Keys) -> Keys:
    """The first occurrence of each key, in the order of occurrence."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    first = np.ones(keys.size, dtype=bool)
    first[1:] = ranked[1:] != ranked[:-1]
    return keys[np.sort(order[first])]
