"""Images of ones and zeros, generated or read from the official file.

An image is also called a row, as in the challenge. It survives if its outputs in the last layer are
not all 0; otherwise it is dead.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Rows
from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.sparse.csr import CsrPattern, index_dtype
from sparsebench.errors import DataError
from sparsebench.seeds import generator
from sparsebench_plugins.datasets.npz_reader import read_npz
from sparsebench_plugins.graph_challenge.model import BIASES, IMAGES, OFFICIAL

ARRAYS = {
    "columns": (30, OFFICIAL, 32),
    "images_indptr": (IMAGES + 1,),
    "images_indices": (122713,),
    "categories": (19,),
}
"""The arrays in the official file, and their shapes."""

BRIGHTEST = 1.04
"""The largest share of pixels of a generated image that are 1, as a multiple of |bias|."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images, with the official network if there is one.

    indptr, pixels  (n + 1,), (stored,): the pixels of each image that are 1, ascending
    targets   (n,) 1 for an image whose row survives, 0 for others or if that is unknown
    network   (layers, neurons, fan-out) the outputs of each input in the official layers; or none
    known     whether it is known which rows survive
    """

    features: int
    indptr: Array
    pixels: Array
    targets: Array
    network: Array = field(default_factory=lambda: np.empty((0, 0, 0), dtype=np.int16))
    known: bool = False

    def batch(self, rows: Rows) -> Matrix:
        starts, ends = self.indptr[rows], self.indptr[rows + 1]
        parts = [self.pixels[a:b] for a, b in zip(starts, ends, strict=True)]
        pixels = np.concatenate(parts).astype(np.int32) if parts else np.empty(0, dtype=np.int32)
        bounds = np.concatenate([[0], np.cumsum(ends - starts)])
        ones = np.ones(pixels.size, dtype=np.float32)
        return CsrBatch(bounds.astype(np.int64), pixels, ones, self.features).dense()

    def official_layers(self) -> int:
        return len(self.network)

    def official_pattern(self, index: int) -> CsrPattern:
        """The connections of an official layer, counted from 0."""
        outputs = self.network[index]
        D, fan_out = outputs.shape
        order = np.argsort(outputs, axis=None, kind="stable")
        indptr = np.cumsum(np.bincount(outputs.reshape(-1), minlength=D))
        dtype = index_dtype(order.size)
        return CsrPattern(
            (D, D), np.concatenate([[0], indptr]).astype(dtype), (order // fan_out).astype(dtype)
        )

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.indptr, self.pixels, self.targets, self.network):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def official(path: Path, count: int) -> Images:
    """The first `count` images of the official file, and its network. Raises DataError if the file
    is not as expected."""
    arrays = read_official(path)
    indptr = arrays["images_indptr"][: count + 1]
    survives = np.zeros(IMAGES, dtype=np.int64)
    survives[arrays["categories"]] = 1
    return Images(
        OFFICIAL, indptr, arrays["images_indices"][: indptr[-1]], survives[:count],
        arrays["columns"], known=True,
    )  # fmt: skip


def read_official(path: Path) -> dict[str, Any]:
    """Read the arrays of the official file. Raises DataError if their shapes or ranges are not as
    expected."""
    arrays = read_npz(path, only=ARRAYS)
    for name, shape in ARRAYS.items():
        found = arrays.get(name)
        if found is None or found.shape != shape or found.dtype.kind not in "iu":
            what = "is missing" if found is None else f"is {found.dtype} of shape {found.shape}"
            raise DataError(f"{path}: {name} {what}; expected integers of shape {shape}")
    indptr = arrays["images_indptr"]
    for name, low, high in (
        ("columns", 0, OFFICIAL), ("images_indices", 0, OFFICIAL), ("categories", 0, IMAGES),
    ):  # fmt: skip
        if arrays[name].min() < low or arrays[name].max() >= high:
            raise DataError(f"{path}: {name} has a number outside {low}..{high - 1}")
    if indptr[0] != 0 or indptr[-1] != ARRAYS["images_indices"][0] or (np.diff(indptr) < 0).any():
        raise DataError(f"{path}: images_indptr does not frame the pixels of {IMAGES} images")
    return arrays


def drawn(neurons: int, count: int, seed: int) -> Images:
    """Images with random pixels. Each image has another share of ones, so that some rows die and
    others survive."""
    indptr, parts = np.zeros(count + 1, dtype=np.int64), []
    for image in range(count):
        rng = generator(seed, "data", image)
        ones = round(neurons * -BIASES[neurons] * rng.uniform(0.05, BRIGHTEST))
        parts.append(np.sort(rng.permutation(neurons)[:ones]))
        indptr[image + 1] = indptr[image] + ones
    return Images(neurons, indptr, np.concatenate(parts), np.zeros(count, dtype=np.int64))
