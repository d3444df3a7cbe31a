"""Kernels for csr inputs, which process only the connections of features that a batch stores.

The batch is sorted by feature. Connections, which are most of the memory traffic, are then read in
order and only once, one column after the other. Activations pass through S, (N, K) flat, with a row
per sample.

A connection whose input is stored in no sample of a batch has gradient 0, but momentum and decay
may still change it. These changes are postponed until a batch stores its input again, or until
somebody reads the weights. The missed steps are then made one after the other, so the result is the
same bit for bit as with an update in each step.

Samples, columns and neurons share no output, and each sums in the order of features or samples, so
the result is the same bit for bit for any number of threads. Indices are unsigned, because for
signed ones numba checks whether they count from the end.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import intrinsic

from sparsebench_plugins.backends.numba_csr.activation_kernels import activate_row
from sparsebench_plugins.backends.numba_csr.arguments import ADAM, KEEP, Rule
from sparsebench_plugins.backends.numba_csr.simd import (
    LINE,
    WIDTH,
    load,
    load_some,
    operation,
    splat,
    store,
    store_some,
    types,
)
from sparsebench_plugins.backends.numba_csr.threads import (
    MOVE,
    in_parallel,
    restore_threads,
    threads_for,
)
from sparsebench_plugins.backends.numba_csr.update_kernels import adam, sgd, update

CHUNKS = 64
"""The number of chunks of a batch's features, and of the neurons."""

ROWS = 16
"""Neurons that are transposed to or from S at a time: one cache line of S."""

PIECE = 512
"""Connections whose gradients are computed before they are updated, as in `large_batch`."""

AHEAD = 16
"""Prefetch distance in features."""

U = np.uint64


@intrinsic
def fetch(typing, A, i):
    """Prefetch two cache lines from A[i] on."""
    write = operation(lambda emit, a, i: emit.prefetch(A, a, i, 2 * LINE))
    return types.void(A, types.int64), write


@njit(forceinline=True, error_model="numpy")
def column(t_indptr, features, f):
    """(start, stop): the connections by column of the batch's f-th feature are start..stop - 1."""
    j = U(features[U(f)])
    return np.int64(t_indptr[j]), np.int64(t_indptr[j + U(1)])


@njit(forceinline=True, error_model="numpy")
def cut(starts, count, c):
    """The index of the first feature in chunk c, of `count` features; `count` for c = CHUNKS. The
    chunks have about equal numbers of values."""
    if c == CHUNKS:
        return np.int64(count)
    return np.int64(np.searchsorted(starts[:count], np.int64(starts[count]) * c // CHUNKS))


# --- the batch by feature -------------------------------------------------------------


@njit(forceinline=True, error_model="numpy")
def count_values(indices, begin, end, counts, touched):
    """Count the values begin..end - 1 of each feature, and mark its group of 64."""
    for e in range(begin, end):
        j = U(indices[U(e)])
        counts[j] += np.int32(1)
        touched[j >> U(6)] = 1


@njit(error_model="numpy")
def list_features(counts, touched, features, starts):
    """Write the features that have values, ascending, and where the values of each begin, which is
    also written into `counts`. Returns their number; `touched` is zeros again."""
    found, total = 0, np.int32(0)
    for block in range(touched.size):
        if touched[U(block)] == 0:
            continue
        touched[U(block)] = 0
        for j in range(64 * block, min(64 * block + 64, counts.size)):
            count = counts[U(j)]
            if count > 0:
                features[U(found)] = j
                starts[U(found)] = total
                counts[U(j)] = total
                total += count
                found += 1
    starts[found] = total
    return found


@njit(forceinline=True, error_model="numpy")
def place_of(counts, j):
    """The next place of a value of feature j, once `list_features` has filled `counts`."""
    q = U(counts[U(j)])
    counts[U(j)] += np.int32(1)
    return q


@njit(error_model="numpy")
def clear_counts(counts, features, found):
    for f in range(found):
        counts[U(features[U(f)])] = 0


@njit(cache=True, error_model="numpy")
def by_feature(indptr, indices, data, counts, touched, features, starts, samples, values):
    """Sort a batch's values by feature with a counting sort. Returns the number of features that
    have values.

    indptr (N + 1,), indices and data (stored,)  csr of the samples
    counts   (D,) int32, and touched (D / 64 + 1,) uint8: zeros before and after
    features (F,)      written: the features that have values, ascending
    starts   (F + 1,)  written: where the values of each feature begin
    samples and values (stored,)  written: sorted by feature, with ascending samples in each
    """
    N = indptr.size - 1
    count_values(indices, 0, np.int64(indptr[N]), counts, touched)
    found = list_features(counts, touched, features, starts)
    for n in range(N):
        for e in range(np.int64(indptr[n]), np.int64(indptr[n + 1])):
            q = place_of(counts, indices[U(e)])
            samples[q] = n
            values[q] = data[U(e)]
    clear_counts(counts, features, found)
    return found


# --- columns that are behind ----------------------------------------------------------


@njit(forceinline=True, error_model="numpy")
def at_step(rule, past, s):
    """The rule at step s of `past`."""
    return Rule(
        rule.kind, past[s, 0], rule.coupled, past[s, 1], rule.momentum, rule.nesterov,
        rule.beta1, rule.rest1, rule.beta2, rule.rest2, past[s, 2], rule.tiny,
    )  # fmt: skip


@njit(forceinline=True, error_model="numpy")
def missed(x, a, b, rule, past, begin, end):
    """The weights and state of WIDTH connections after steps begin..end - 1 with gradient 0."""
    nothing = splat(np.float32(0.0))
    if rule.kind == ADAM:
        for s in range(begin, end):
            x, a, b = adam(x, a, b, nothing, at_step(rule, past, s))
    else:
        for s in range(begin, end):
            x, a = sgd(x, a, nothing, at_step(rule, past, s))
    return x, a, b


@njit(forceinline=True, error_model="numpy")
def catch_up(w, first, second, start, stop, rule, past, begin, end):
    """Make steps begin..end - 1 with gradient 0 for connections start..stop - 1."""
    nothing = splat(np.float32(0.0))
    one, two = first.size > 0, second.size > 0
    p = start
    while p + WIDTH <= stop:
        a = load(first, p) if one else nothing
        b = load(second, p) if two else nothing
        x, a, b = missed(load(w, p), a, b, rule, past, begin, end)
        store(w, p, x)
        if one:
            store(first, p, a)
        if two:
            store(second, p, b)
        p += WIDTH
    if p < stop:
        count = stop - p
        a = load_some(first, p, count) if one else nothing
        b = load_some(second, p, count) if two else nothing
        x, a, b = missed(load_some(w, p, count), a, b, rule, past, begin, end)
        store_some(w, p, x, count)
        if one:
            store_some(first, p, a, count)
        if two:
            store_some(second, p, b, count)


@njit(error_model="numpy")
def present_chunk(
    c, features, starts, count, t_indptr, w, first, second, rule, past, steps, since
):  # fmt: skip
    """Make the missed steps of the batch's features in chunk c."""
    begin, end = cut(starts, count, c), cut(starts, count, c + 1)
    for f in range(begin, end):
        if f + AHEAD < end and since[U(features[U(f + AHEAD)])] < steps:
            soon, _ = column(t_indptr, features, f + AHEAD)
            fetch(w, soon)
            fetch(first, soon)
        j = U(features[U(f)])
        if since[j] < steps:
            start, stop = column(t_indptr, features, f)
            catch_up(w, first, second, start, stop, rule, past, np.int64(since[j]), steps)
            since[j] = steps


present_chunks = in_parallel(present_chunk)


@njit(cache=True, error_model="numpy")
def catch_up_present(features, starts, count, t_indptr, w, first, second, rule, past, steps, since):
    """Bring the columns of a batch's features up to date.

    features (count,), starts (count + 1,)  of the batch, as `by_feature` writes them
    t_indptr (D + 1,)           the connections by column
    w, first, second (nnz,)     weights and the optimizer's state by column
    past  (steps, 3)            rate, shrink and unbias of each step; the rest is as in `rule`
    since (D,)                  the number of steps of `past` that each column has had
    """
    before = threads_for(MOVE * np.int64(starts[count]))
    given = (features, starts, count, t_indptr, w, first, second, rule, past, steps, since)
    present_chunks(CHUNKS, given)
    restore_threads(before)


@njit(error_model="numpy")
def settle_columns(begin, end, t_indptr, w, first, second, rule, past, steps, since):
    """Make the missed steps of columns begin..end - 1, and set their `since` to 0."""
    for j in range(begin, end):
        if since[j] < steps:
            start, stop = np.int64(t_indptr[j]), np.int64(t_indptr[j + 1])
            catch_up(w, first, second, start, stop, rule, past, np.int64(since[j]), steps)
        since[j] = 0


@in_parallel
@njit(error_model="numpy")
def all_chunks(c, chunks, t_indptr, w, first, second, rule, past, steps, since):
    settle_columns(chunks[c], chunks[c + 1], t_indptr, w, first, second, rule, past, steps, since)


@njit(cache=True, error_model="numpy")
def catch_up_all(chunks, t_indptr, w, first, second, rule, past, steps, since):
    """Bring all columns up to date and set `since` to 0; `past` may then be emptied.

    chunks (C + 1,)  bounds of columns; the rest is as in `catch_up_present`
    """
    before = threads_for(w.size)
    given = (chunks, t_indptr, w, first, second, rule, past, steps, since)
    all_chunks(chunks.size - 1, given)
    restore_threads(before)


# --- forward --------------------------------------------------------------------------


@njit(error_model="numpy", fastmath={"contract"})
def product_rows(
    begin, end, features, starts, count, samples, values, t_indptr, t_rows, w, S, K
):  # fmt: skip
    """Compute rows begin..end - 1 of S = X^T W^T, one for each sample."""
    for i in range(begin * K, end * K):
        S[U(i)] = np.float32(0.0)
    for f in range(count):
        soon, _ = column(t_indptr, features, min(f + AHEAD, count - 1))
        fetch(w, soon)
        fetch(t_rows, soon)
        start, stop = column(t_indptr, features, f)
        e, last = np.int64(starts[U(f)]), np.int64(starts[U(f + 1)])
        while e < last and samples[U(e)] < begin:
            e += 1
        while e < last and samples[U(last - 1)] >= end:
            last -= 1
        while e + 2 <= last:  # two samples for each look at a connection
            one, two = U(samples[U(e)]) * U(K), U(samples[U(e + 1)]) * U(K)
            x, y = values[U(e)], values[U(e + 1)]
            for p in range(start, stop):
                k, weight = U(t_rows[U(p)]), w[U(p)]
                S[one + k] += x * weight
                S[two + k] += y * weight
            e += 2
        if e < last:
            one, x = U(samples[U(e)]) * U(K), values[U(e)]
            for p in range(start, stop):
                S[one + U(t_rows[U(p)])] += x * w[U(p)]


@in_parallel
@njit(error_model="numpy")
def product_parts(
    part, parts, N, features, starts, count, samples, values, t_indptr, t_rows, w, S, K
):  # fmt: skip
    """Compute the rows of S that are a part's samples."""
    begin, end = N * part // parts, N * (part + 1) // parts
    product_rows(begin, end, features, starts, count, samples, values, t_indptr, t_rows, w, S, K)


@njit(error_model="numpy")
def activated_rows(begin, end, n, count, S, bias, Z, z, unit, bits):
    """Compute rows begin..end - 1 of Z = unit(S^T + b) for samples n..n + count - 1, where n begins
    a tile of the layout z or all samples are in one tile."""
    K = bias.size
    lines = np.empty(ROWS * count, dtype=np.float32)
    for k in range(begin, end, ROWS):
        rows = min(ROWS, end - k)
        for m in range(count):
            for i in range(rows):
                lines[U(i * count + m)] = S[U((n + m) * K + k + i)] + bias[U(k + i)]
        for i in range(rows):
            activate_row(lines, i * count, k + i, n, count, unit, bits)
            for m in range(0, count, z.tile):
                copy_row(lines, i * count + m, Z, place(z, k + i, n + m), min(z.tile, count - m))


@njit(forceinline=True, error_model="numpy")
def place(z, k, n):
    """Where sample n of neuron k is in the layout z."""
    return n // z.tile * z.step + k * z.stride + n % z.tile


@in_parallel
@njit(error_model="numpy")
def activated_chunks(c, S, bias, Z, z, N, unit, bits):
    """Compute the rows of chunk c of Z = unit(S^T + b)."""
    K = bias.size
    activated_rows(K * c // CHUNKS, K * (c + 1) // CHUNKS, 0, N, S, bias, Z, z, unit, bits)


@njit(error_model="numpy")
def copy_row(A, a, B, b, count):
    """B[b : b + count] = A[a : a + count]; either may hold bfloat16."""
    i = 0
    while i + WIDTH <= count:
        store(B, b + i, load(A, a + i))
        i += WIDTH
    if i < count:
        store_some(B, b + i, load_some(A, a + i, count - i), count - i)


@njit(cache=True, error_model="numpy")
def csr_forward(
    features, starts, count, samples, values, t_indptr, t_rows, w, bias, S, Z, z, N,
    unit, bits,
):  # fmt: skip
    """Z = unit(W X + b).

    features (count,), starts (count + 1,), samples and values (stored,)  X, from `by_feature`
    t_indptr (D + 1,), t_rows and w (nnz,)  W by column
    bias (K,)   S (N K,) scratch
    Z     flat, (K, N) in the layout z
    bits  written: the bits that the unit needs for backward
    """
    K = bias.size
    work = np.int64(starts[count]) * (w.size // (t_indptr.size - 1) + 1)
    before = threads_for(MOVE * work)
    parts = min(np.int64(before), N)  # each reads the connections once
    given = (parts, N, features, starts, count, samples, values, t_indptr, t_rows, w, S, K)
    product_parts(parts, given)
    restore_threads(before)
    threads_for(MOVE * N * K)
    activated_chunks(CHUNKS, (S, bias, Z, z, N, unit, bits))
    restore_threads(before)


# --- backward -------------------------------------------------------------------------


@njit(error_model="numpy")
def transposed_rows(begin, end, n, count, DZ, z, K, S):
    """S = DZ^T for rows begin..end - 1 of DZ and samples n..n + count - 1, as `activated_rows`."""
    lines = np.empty(ROWS * count, dtype=np.float32)
    for k in range(begin, end, ROWS):
        rows = min(ROWS, end - k)
        for i in range(rows):
            for m in range(0, count, z.tile):
                copy_row(DZ, place(z, k + i, n + m), lines, i * count + m, min(z.tile, count - m))
        for m in range(count):
            for i in range(rows):
                S[U((n + m) * K + k + i)] = lines[U(i * count + m)]


@in_parallel
@njit(error_model="numpy")
def transpose_chunks(c, DZ, z, N, K, S):
    """Compute the columns of chunk c of S = DZ^T."""
    transposed_rows(K * c // CHUNKS, K * (c + 1) // CHUNKS, 0, N, DZ, z, K, S)


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def column_dots(g, at, begin, end, samples, values, start, stop, t_rows, S, K):
    """g[at..] = the gradients of connections start..stop - 1, whose input has the values
    begin..end - 1. Samples are added in order."""
    row, x = U(samples[U(begin)]) * U(K), values[U(begin)]
    for p in range(start, stop):
        g[U(at + p - start)] = x * S[row + U(t_rows[U(p)])]
    for e in range(begin + 1, end):
        row, x = U(samples[U(e)]) * U(K), values[U(e)]
        for p in range(start, stop):
            g[U(at + p - start)] += x * S[row + U(t_rows[U(p)])]


@njit(error_model="numpy")
def gradient_chunk(
    c, features, starts, count, samples, values, t_indptr, t_rows, w, first, second, widest,
    S, K, G, rule, steps, since,
):  # fmt: skip
    """Process the batch's features in chunk c: store the gradients of their connections in G if
    the rule is to keep them, else update the weights and set `since` of their columns to `steps`.
    """
    own = np.empty(PIECE + widest, dtype=np.float32)
    begin, end = cut(starts, count, c), cut(starts, count, c + 1)
    f = begin
    while f < end:
        g, done = f, 0
        while g < end and done < PIECE:
            if g + AHEAD < end:
                soon, _ = column(t_indptr, features, g + AHEAD)
                fetch(t_rows, soon)
                fetch(w, soon)
                fetch(first, soon)
            start, stop = column(t_indptr, features, g)
            values_begin, values_end = np.int64(starts[U(g)]), np.int64(starts[U(g + 1)])
            column_dots(
                own, done, values_begin, values_end, samples, values, start, stop, t_rows, S, K
            )
            done += stop - start
            g += 1
        at = 0
        for i in range(f, g):
            start, stop = column(t_indptr, features, i)
            if rule.kind == KEEP:
                for p in range(start, stop):
                    G[p] = own[at + p - start]
            else:
                update(w, first, second, own, start, stop, at, rule)
                since[U(features[U(i)])] = steps
            at += stop - start
        f = g


gradient_chunks = in_parallel(gradient_chunk)


@njit(cache=True, error_model="numpy")
def csr_backward(
    features, starts, count, samples, values, t_indptr, t_rows, w, first, second, widest,
    DZ, z, N, K, S, G, rule, steps, since,
):  # fmt: skip
    """Compute DW = DZ X^T on the connections of the batch's features, and update these.

    features, starts, samples, values  X, as in `csr_forward`
    t_indptr (D + 1,), t_rows (nnz,), w, first, second (nnz,)  connections by column
    widest  the largest number of connections of a column
    DZ      flat, (K, N) in the layout z
    S       (N K,) scratch
    G       (nnz,) zeros, by column, if the rule keeps the gradient; else empty
    steps   the value that `since` (D,) gets for these columns
    """
    before = threads_for(MOVE * N * K)
    transpose_chunks(CHUNKS, (DZ, z, N, K, S))
    restore_threads(before)
    work = np.int64(starts[count]) * (w.size // (t_indptr.size - 1) + 1)
    threads_for(MOVE * work)
    given = (
        features, starts, count, samples, values, t_indptr, t_rows, w, first, second, widest,
        S, K, G, rule, steps, since,
    )  # fmt: skip
    gradient_chunks(CHUNKS, given)
    restore_threads(before)
