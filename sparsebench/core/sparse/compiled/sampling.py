"""Draws random positions in a fixed order and takes the first ones that are free.

Proposal t = 0, 1, .. is in row number `below(open rows, bits(key, t))`. The i-th proposal of
row r has the column number `below(open columns, bits(bits(~key, r), i))`. The proposals of a row
can therefore be recomputed from their number, without those of other rows.

A row's columns are collected as bits, 64 to a word, and `summary` has a bit for each word that
is not 0. Reading both yields the columns sorted, in time O(columns of the row + D / 4096).

If more than half of the positions would be taken after the draw, each free position gets a random
priority instead, and those with the lowest priorities are chosen. That takes O(K D), which is then
O(nnz).

indptr, indices  the connections, csr
keep             (nnz,) True for connections whose position is taken; empty: no position is taken
open_rows        (rows,) rows that may be drawn; empty: all K
open_columns     (columns,) the same for columns
proposals        (K,) number of proposals of each row
starts           (K + 1,) where each row of the result begins
bounds           (parts + 1,) rows of each part
draws            (parts, longest) scratch
words            (parts, D / 64) scratch, zeros
summary          (parts, D / 4096) scratch, zeros
closed_rows (K,), closed_columns (D,)  what may not be chosen; empty: nothing is closed
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench.core.sparse.threads import by_part

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: the step of SplitMix64."""

U32 = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def bits(key, counter):
    """The 64 random bits at index `counter` of the stream `key`.

    SplitMix64 (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195), whose stream can be read
    at any index.
    """
    x = key + np.uint64(counter) * GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)
def below(bound, x):
    """floor(bound x / 2^64): turns 64 random bits into an integer below `bound`, which is below
    2^32.

    The probabilities of two integers differ by less than 2^-64, at most 2^-32 of their size.
    """
    bound = np.uint64(bound)
    return np.int64(((x >> U32) * bound + (((x & LOW) * bound) >> U32)) >> U32)


UNCOUNTED = -1
"""Stands in `accepted` for a row whose accepted proposals are still to be counted."""

ONE = np.uint64(1)
NONE = np.uint64(0)
U58 = np.uint64(58)
LOW_SIX = np.uint64(63)
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
"""A de Bruijn sequence: its 64 windows of 6 bits are all different."""

PLACE_OF_BIT = np.zeros(64, dtype=np.int64)
for _place in range(64):
    PLACE_OF_BIT[((int(DE_BRUIJN) << _place) & (2**64 - 1)) >> 58] = _place


@njit(cache=True)
def lowest(word):
    """The index, 0 to 63, of the lowest bit that is set in a word that is not 0."""
    return PLACE_OF_BIT[((word & (~word + ONE)) * DE_BRUIJN) >> U58]


@njit(cache=True)
def bit_of(number):
    """A word in which only the bit of this column is set; the column is in word number // 64."""
    return ONE << (np.uint64(number) & LOW_SIX)


@njit(cache=True)
def count_proposals(key, first, last, open_rows, proposals, accepted):
    """Add proposals first..last-1 to the counts in `proposals`, and mark their rows as `UNCOUNTED`
    in `accepted` (K,)."""
    chosen = open_rows.size > 0
    bound = open_rows.size if chosen else proposals.size
    for t in range(first, last):
        r = below(bound, bits(key, t))
        if chosen:
            r = open_rows[r]
        proposals[r] += 1
        accepted[r] = UNCOUNTED


@njit(cache=True)
def kept_bit(p, indices, keep):
    """The bit of a connection's column in its word; 0 if it is dropped."""
    return np.uint64(keep[p]) << (np.uint64(indices[p]) & LOW_SIX)


@njit(cache=True)
def accept(r, key, count, open_columns, D, indptr, indices, keep, draws, words):
    """Set the bits of those of row r's first `count` proposals that are free and not repeated.

    Writes their columns to `draws`, in the order of the proposals. Returns how many there are.
    """
    stream = bits(~key, r)
    chosen = open_columns.size > 0
    bound = open_columns.size if chosen else D
    for i in range(count):
        draws[i] = below(bound, bits(stream, i))
    taken = keep.size > 0
    if taken:
        for p in range(indptr[r], indptr[r + 1]):
            words[indices[p] >> 6] |= kept_bit(p, indices, keep)
    found = 0
    for i in range(count):
        j = draws[i]
        if chosen:
            j = open_columns[j]
        bit = bit_of(j)
        if words[j >> 6] & bit == NONE:
            words[j >> 6] |= bit
            draws[found] = j
            found += 1
    if taken:
        for p in range(indptr[r], indptr[r + 1]):
            words[indices[p] >> 6] &= ~kept_bit(p, indices, keep)
    return found


@by_part
@njit(cache=True, nogil=True)
def count_accepted(
    begin_part, end_part, bounds, key, proposals, open_columns, D, indptr, indices, keep, draws,
    words, accepted,
):  # fmt: skip
    """For rows that are `UNCOUNTED`, accepted[r] = how many of row r's proposals are free and not
    repeated."""
    for part in range(begin_part, end_part):
        for r in range(bounds[part], bounds[part + 1]):
            if accepted[r] == UNCOUNTED:
                found = accept(
                    r, key, proposals[r], open_columns, D, indptr, indices, keep,
                    draws[part], words[part],
                )  # fmt: skip
                accepted[r] = found
                for i in range(found):
                    words[part, draws[part, i] >> 6] = NONE


@by_part
@njit(cache=True, nogil=True)
def fill_accepted(
    begin_part, end_part, bounds, key, proposals, open_columns, D, indptr, indices, keep, draws,
    words, summary, starts, rows, columns,
):  # fmt: skip
    """Write the accepted positions in ascending order: columns (count,), and rows (count,) or
    empty."""
    for part in range(begin_part, end_part):
        w = words[part]
        for r in range(bounds[part], bounds[part + 1]):
            if starts[r] == starts[r + 1]:
                continue
            found = accept(
                r, key, proposals[r], open_columns, D, indptr, indices, keep, draws[part], w
            )
            for i in range(found):
                at = draws[part, i] >> 6
                summary[part, at >> 6] |= bit_of(at)
            q = starts[r]
            for s in range(summary.shape[1]):
                marked = summary[part, s]
                summary[part, s] = NONE
                while marked != NONE:
                    at = s * 64 + lowest(marked)
                    marked &= marked - ONE
                    word = w[at]
                    w[at] = NONE
                    while word != NONE:
                        columns[q] = at * 64 + lowest(word)
                        word &= word - ONE
                        q += 1
            if rows.size > 0:
                for q in range(starts[r], starts[r + 1]):
                    rows[q] = r


@by_part
@njit(cache=True, nogil=True)
def fill_others(begin_part, end_part, bounds, key, proposals, D, draws, words, starts, columns):
    """Write the columns of each row that were not proposed, in ascending order. For matrices where
    nothing is taken or closed."""
    nowhere = proposals[:0]
    nothing = np.empty(0, dtype=np.bool_)
    for part in range(begin_part, end_part):
        w = words[part]
        for r in range(bounds[part], bounds[part + 1]):
            accept(r, key, proposals[r], nowhere, D, nowhere, nowhere, nothing, draws[part], w)
            q = starts[r]
            for at in range(w.size):
                word = ~w[at]
                w[at] = NONE
                if at * 64 + 64 > D:
                    word &= bit_of(D) - ONE
                while word != NONE:
                    columns[q] = at * 64 + lowest(word)
                    word &= word - ONE
                    q += 1


# --- all free positions, for layers that are more than half full -----------------------

PRIORITY_BITS = 55
"""Bits of a random priority. Two of n priorities are equal with a probability below n^2 / 2^56."""

LEVEL_BITS = 11
LEVEL = 1 << LEVEL_BITS
UNUSED = np.uint64(64 - PRIORITY_BITS)


@njit(cache=True)
def is_closed(closed, at):
    return closed.size > 0 and closed[at]


@njit(cache=True)
def next_kept(p, end, column, indices, keep):
    """The first connection from p on that is kept and in this column or right of it; else `end`."""
    while p < end and (indices[p] < column or not keep[p]):
        p += 1
    return p


@njit(cache=True)
def priority(stream, column):
    return np.int64(bits(stream, column) >> UNUSED)


@by_part
@njit(cache=True, nogil=True)
def count_taken(
    begin_part, end_part, bounds, indptr, indices, keep, closed_rows, closed_columns, totals
):
    """totals (parts,) = the number of kept connections in rows and columns that are not closed."""
    for part in range(begin_part, end_part):
        total = 0
        for r in range(bounds[part], bounds[part + 1]):
            if is_closed(closed_rows, r):
                continue
            for p in range(indptr[r], indptr[r + 1]):
                if keep[p] and not is_closed(closed_columns, indices[p]):
                    total += 1
        totals[part] = total


@by_part
@njit(cache=True, nogil=True)
def free_histogram(
    begin_part, end_part, bounds, key, D, indptr, indices, keep, closed_rows, closed_columns, shift,
    prefix, counts,
):  # fmt: skip
    """Histogram of the free positions whose priority begins with the bits `prefix`, by the next
    LEVEL_BITS bits, those from bit `shift` on.

    counts  (parts, LEVEL), zeros before
    """
    for part in range(begin_part, end_part):
        for r in range(bounds[part], bounds[part + 1]):
            if is_closed(closed_rows, r):
                continue
            stream = bits(~key, r)
            p, end = indptr[r], indptr[r + 1]
            for j in range(D):
                p = next_kept(p, end, j, indices, keep)
                if (p < end and indices[p] == j) or is_closed(closed_columns, j):
                    continue
                x = priority(stream, j) >> shift
                if x >> LEVEL_BITS == prefix:
                    counts[part, x & (LEVEL - 1)] += 1


@by_part
@njit(cache=True, nogil=True)
def count_free(
    begin_part, end_part, bounds, key, D, indptr, indices, keep, closed_rows, closed_columns, limit,
    accepted,
):  # fmt: skip
    """accepted[r] = the number of free positions of row r with a priority up to `limit`."""
    for part in range(begin_part, end_part):
        for r in range(bounds[part], bounds[part + 1]):
            found = 0
            if not is_closed(closed_rows, r):
                stream = bits(~key, r)
                p, end = indptr[r], indptr[r + 1]
                for j in range(D):
                    p = next_kept(p, end, j, indices, keep)
                    if (p < end and indices[p] == j) or is_closed(closed_columns, j):
                        continue
                    if priority(stream, j) <= limit:
                        found += 1
            accepted[r] = found


@by_part
@njit(cache=True, nogil=True)
def fill_free(
    begin_part, end_part, bounds, key, D, indptr, indices, keep, closed_columns, limit, starts,
    rows, columns,
):  # fmt: skip
    """Write the positions that `count_free` counts, in ascending order."""
    for part in range(begin_part, end_part):
        for r in range(bounds[part], bounds[part + 1]):
            q = starts[r]
            if q == starts[r + 1]:
                continue
            stream = bits(~key, r)
            p, end = indptr[r], indptr[r + 1]
            for j in range(D):
                p = next_kept(p, end, j, indices, keep)
                if (p < end and indices[p] == j) or is_closed(closed_columns, j):
                    continue
                if priority(stream, j) <= limit:
                    rows[q] = r
                    columns[q] = j
                    q += 1
