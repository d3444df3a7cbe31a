"""Generates images of one filled shape each, with the pixels that it covers as targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.core.data.samples import ImageShape, Parts
from sparsebench.seeds import generator
from sparsebench_plugins.datasets.params import ShapesParams

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shapes(ShapesParams):
    """One disc, rectangle or triangle of one colour on a background of another colour, with noise.

    Position, size and colours are random; the colours differ by at least a quarter of the range in
    one channel. X is (samples, side side 3) bytes, row by row with the channels last; y is
    (samples, side side), 1 for pixels of the shape.
    """

    def load(self) -> Parts:
        count = self.train + self.test
        X = np.empty((count, self.side * self.side * 3), dtype=np.uint8)
        y = np.empty((count, self.side * self.side), dtype=np.uint8)
        for sample in range(count):
            rng = generator(self.seed, "data", sample)
            mask = _mask(self.side, rng)
            ground, colour = _colours(rng)
            image = np.where(mask[..., None], colour, ground)
            image = image + self.noise * 255 * rng.standard_normal(image.shape)
            X[sample] = np.clip(image, 0, 255).reshape(-1).round()
            y[sample] = mask.reshape(-1)
        n = self.train
        pixels = ImageShape(self.side, self.side, 3)
        return Parts(X[:n], y[:n], X[n:], y[n:], source="shapes", kind="flags", image=pixels)


def _mask(side: int, rng: np.random.Generator) -> Mask:
    """(side, side) mask of a disc, a rectangle or a triangle that covers at least one pixel."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    kind = rng.integers(3)
    while True:
        if kind == 0:
            radius = side * rng.uniform(0.1, 0.35)
            row, column = rng.uniform(radius, side - radius, 2)
            mask: Mask = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        elif kind == 1:
            (top, left), (high, wide) = rng.uniform(0, 0.6, 2), rng.uniform(0.2, 0.7, 2)
            mask = (rows >= side * top) & (rows <= side * (top + high))
            mask &= (columns >= side * left) & (columns <= side * (left + wide))
        else:
            mask = _triangle(rows, columns, side * rng.uniform(0, 1, (3, 2)))
        if mask.any():
            return mask


def _triangle(
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
    corners: npt.NDArray[np.float64],
) -> Mask:
    """The mask of a triangle: pixels that are on the same side of all three edges."""
    edges = np.roll(corners, -1, axis=0) - corners
    sides = [
        edge[0] * (columns - corner[1]) - edge[1] * (rows - corner[0])
        for edge, corner in zip(edges, corners)
    ]
    least, most = np.minimum.reduce(sides), np.maximum.reduce(sides)
    inside: Mask = (least >= 0) | (most <= 0)
    return inside


def _colours(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Two random colours that differ by at least a quarter of the range in one channel."""
    while True:
        ground, colour = rng.uniform(0, 255, (2, 3))
        if np.abs(ground - colour).max() >= 64:
            return ground, colour
