"""The arguments of kernels, as records that Python fills and compiled code reads.

Whole numbers are counts, flags, or addresses of arrays; the address of a missing array is 0.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np

I8, F4, U4 = np.int64, np.float32, np.uint32

RULE = np.dtype(
    [("kind", I8), ("nesterov", I8)]
    + [
        (name, F4)
        for name in (
            "rate", "coupled", "shrink", "momentum", "beta1", "rest1", "beta2", "rest2", "unbias",
            "tiny",
        )
    ]
)  # fmt: skip
"""`arguments.Rule` at one step."""

STEP = np.dtype(
    [
        (name, I8)
        for name in (
            "t", "N", "padded", "width", "tiles", "per_piece",
            "rules", "rows", "target_rows", "parts",
        )
    ]
)  # fmt: skip
"""The values that all kernels of a step share.

t            number of the step
N            number of samples
padded       number of samples that are computed: N, filled up to whole vectors with copies of the
             last sample, whose loss and gradient are 0
width        samples per tile
tiles        number of tiles
per_piece    number of consecutive tiles whose gradients are added to one partial sum
rules        address of two RULEs, for weights and for biases
rows         address of (N,) rows of the data set
target_rows  address of (N,) rows of its targets
parts        address of (tiles,) float64, the loss of each tile summed over its samples
"""

UNIT = ("mode", "bits", "bits_row", "bits_step")
UNIT_NUMBERS = (("above", F4), ("below", F4), ("key", U4), ("threshold", U4))

LAYER = np.dtype(
    [
        (name, I8)
        for name in (
            "step", "K", "D", "nnz", "widest",
            "indptr", "indices", "data", "bias", "row_bounds", "ahead_x",
            "t_indptr", "rows", "w", "first", "second", "place", "column_bounds", "ahead_z",
            "partial", "bias_partial", "below_bias_partial",
            "X", "x_tile", "x_stride", "x_step",
            "Z", "z_tile", "z_stride", "z_step",
            "backward", "R", "C", "row_cuts", "column_cuts", "starts", "columns", "DZ", "DX",
        )
    ]
    + [(f"{whose}_{name}", I8) for whose in ("own", "under") for name in UNIT]
    + [(f"{whose}_{name}", kind) for whose in ("own", "under") for name, kind in UNIT_NUMBERS]
)  # fmt: skip
"""A layer: Z = unit(W X + b), and its backward pass, in which DX replaces X.

indptr, indices, data  the connections in csr order
t_indptr, rows, w, first, second  the connections, weights and optimizer state by column
place         (nnz,) for each connection in csr order, its index by column
partial       (pieces, nnz) float32 by column: partial gradients; 0: W is updated at once
bias_partial  (pieces, K) sums of DZ of this layer
below_bias_partial  (pieces, D) sums of DZ of the layer below
R, C          number of blocks along rows and along columns, for few samples. Rows and columns are
              then those within a block; w, first and second are by block; DZ and DX are separate
              arrays
own, under    the unit of this layer, and that of the layer below
backward      whether DX is computed
"""

VECTOR = np.dtype(
    [(name, I8) for name in ("step", "size", "pieces", "values", "first", "second", "partial")]
)
"""A trained vector other than weights, such as a bias. The sum of `partial` (pieces, size) over the
pieces is its gradient."""

TARGETS = np.dtype(
    [
        (name, I8)
        for name in (
            "step", "K", "Z", "z_stride", "z_step", "bias_partial",
            "targets", "row_stride", "sample_stride", "tile_step", "own_rows", "loss",
        )
    ]
)  # fmt: skip
"""The loss, which replaces Z (K, width) of a tile by DZ.

targets     labels, or numbers; the number for output k and a sample is at
            k row_stride + row sample_stride + tile tile_step
own_rows    which row a sample has: 0: it is looked up in target_rows; 1: its number within the
            tile; 2: its number within the batch
loss        number of the loss in `kernel_numbers`
"""

BATCH = np.dtype(
    [
        (name, I8)
        for name in ("step", "features", "data", "row_stride", "mean", "scale", "X", "x_step")
    ]
)
"""The inputs of a batch: rows of (samples, features) are scaled and copied into tiles (features,
width)."""

CSR_INPUT = np.dtype(
    [
        (name, I8)
        for name in (
            "step", "layer", "D", "groups", "rule", "indptr", "indices", "data", "scale",
            "counts", "touched", "features", "starts", "samples", "values", "found", "S",
            "past", "most", "steps", "since", "at_once",
        )
    ]
)  # fmt: skip
"""The first layer on csr inputs.

layer    address of its LAYER, where X is not used
rule     address of a RULE, of which rate, shrink and unbias are not used
indptr, indices, data, scale  the samples, of which `rows` are the batch; scale is (D,), or absent
counts, touched (groups,)     zeros, for sorting
features, starts, samples, values  the batch by feature, as `csr_input.by_feature` writes it
found    address of the number of features that the batch has
S        (padded, K) the layer's outputs, then their gradients, with a row per sample
past (most, 3), steps, since  the steps that columns may have missed (see `CsrPasses`); `steps` is
                              the address of their number
at_once  whether all columns are brought up to date at the end of each step
"""

CURVE = np.dtype(
    [
        (name, I8)
        for name in (
            "step", "K", "kind", "bounds", "A", "DA", "tile", "stride", "step_stride", "kept",
            "bias_partial", "parameters", "partial",
        )
    ]
    + [("scale", F4), ("key", U4), ("threshold", U4)]
)  # fmt: skip
"""An activation that is not part of a layer's kernels, and the dropout after it.

A, DA       (K, N) in their layout
kept        (K, N) values that backward needs: a derivative or Z
parameters  addresses of the four (K,) vectors of SReLU
partial     addresses of their four (pieces, K) gradients
"""

SEQUENCE = np.dtype([(name, I8) for name in ("step", "items", "count", "times", "times_stride")])
"""`count` items (see `work_sharing`) that are run one after the other for each tile of a piece.

times  address of (pieces, times_stride) int64: two words for reading the clock, then the
       nanoseconds that each item has taken so far
"""


def address(array: Any) -> int:
    """The address of an array. Reading `ctypes.data` would take three times as long."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):  # it may not be written, has gaps, or is empty
        return int(array.ctypes.data)


def filled(dtype: np.dtype[Any], **fields: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """An array (1,) with one record; fields that are not given are 0."""
    record = np.zeros(1, dtype=dtype)
    fill(record, fields)
    return record


def fill(record: np.ndarray[Any, np.dtype[Any]], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        record[name] = value
