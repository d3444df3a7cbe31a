"""The arguments of kernels, as records that Python fills and compiled code reads.

Whole numbers are counts, flags, or addresses of arrays; an array that is left out has address 0.
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
"""What all kernels of a step share.

t          the step          N  samples
padded     samples that are computed: N, or whole vectors of copies of the last, whose loss and
           gradient are 0
width      of a tile         tiles  of the batch
per_piece  consecutive tiles whose gradients go into one partial sum
rules      address of two RULEs, of weights and of biases
rows       address of (N,) rows of the data set; target_rows: of its targets
parts      address of (tiles,) float64: the loss of each, summed over its samples
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
"""A layer: Z = unit(W X + b), and its backward pass, in which DX takes the place of X.

indptr, indices, data   csr       t_indptr, rows, w, first, second   by column
place        (nnz,) of each csr connection, its place by column
partial      (pieces, nnz) float32 by column: partial gradients; 0: W is updated at once
bias_partial (pieces, K), below_bias_partial (pieces, D): sums of DZ of this layer, of the one below
R, C         blocks along the rows and along the columns, for few samples: then rows and columns are
             those within a block, w, first and second are by block, and DZ and DX are arrays of
             their own
own, under   the unit of this layer, and that of the one below
backward     whether DX is wanted
"""

VECTOR = np.dtype(
    [(name, I8) for name in ("step", "size", "pieces", "values", "first", "second", "partial")]
)
"""A trained vector that is no weight, such as a bias: `partial` (pieces, size) sums to its
gradient."""

TARGETS = np.dtype(
    [
        (name, I8)
        for name in (
            "step", "K", "Z", "z_stride", "z_step", "bias_partial",
            "targets", "row_stride", "sample_stride", "tile_step", "own_rows", "loss",
        )
    ]
)  # fmt: skip
"""The loss: Z (K, width) of a tile becomes DZ.

targets     labels, or numbers of which that of output k and sample n lies at
            k row_stride + row sample_stride + tile tile_step
own_rows    whether a sample's row is its number within the tile, else looked up in target_rows
"""

BATCH = np.dtype(
    [
        (name, I8)
        for name in ("step", "features", "data", "row_stride", "mean", "scale", "X", "x_step")
    ]
)
"""The inputs of a batch: rows of (samples, features) become (features, width) tiles, scaled."""

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
"""An activation that is no part of a layer's kernels, and the dropout behind it.

A, DA    (K, N) in their layout     kept  likewise: what backward needs, a derivative or Z
parameters  addresses of four (K,) vectors, of SReLU      partial  of four (pieces, K) gradients
"""

SEQUENCE = np.dtype([(name, I8) for name in ("step", "items", "count")])
"""Items that are run one after the other for each tile of a piece."""


def address(array: Any) -> int:
    """Where an array begins. `ctypes.data` alone takes three times as long."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):  # it may not be written, has gaps, or is empty
        return int(array.ctypes.data)


def filled(dtype: np.dtype[Any], **fields: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """(1,) one record; fields that are left out are 0."""
    record = np.zeros(1, dtype=dtype)
    fill(record, fields)
    return record


def fill(record: np.ndarray[Any, np.dtype[Any]], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        record[name] = value
