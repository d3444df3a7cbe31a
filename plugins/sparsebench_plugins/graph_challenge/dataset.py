"""The images of the Graph Challenge, and the official network that comes with them.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from sparsebench.core.data.checksums import file_sha256
from sparsebench.errors import MissingData
from sparsebench.registry import Location
from sparsebench_plugins.graph_challenge.model import IMAGES, OFFICIAL

if TYPE_CHECKING:
    from sparsebench_plugins.graph_challenge.images import Images

FILE = "n1024-l30.npz"


@dataclass(frozen=True)
class GraphChallenge:
    """neurons    number of neurons per layer, and of pixels per image
    images     number of images; official images are taken from the first one on
    generated  generate random images and the network too; needed for more than 1,024 neurons, for
               which no official file is read
    path       path of the official file; none: n1024-l30.npz in the data directory or in its folder
               graph-challenge
    seed       seed of generated images

    docs/graph-challenge.md explains how to make the official file.
    """

    folder: ClassVar[Path] = Path()
    """The data directory."""

    recipe: ClassVar[int] = 1
    """A number that is increased when the same parameters generate other images."""

    neurons: Literal[1024, 4096, 16384, 65536] = 1024
    images: Annotated[int, Interval(ge=1)] = IMAGES
    generated: bool = False
    path: Annotated[str | None, Location()] = None
    seed: Annotated[int, Interval(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.generated:
            return
        if self.neurons != OFFICIAL:
            raise ValueError(
                f"only the network of {OFFICIAL} neurons is read from a file; set generated = true "
                f"for {self.neurons}"
            )
        if self.images > IMAGES:
            raise ValueError(
                f"the official file has {IMAGES} images; set generated = true for {self.images}"
            )

    def file(self) -> Path:
        """The path of the official file. Raises MissingData if it is not there."""
        places = [self.folder / "graph-challenge" / FILE, self.folder / FILE]
        if self.path is not None:
            places = [Path(self.path).expanduser()]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise MissingData(
                f"data set 'graph-challenge': {places[0]} is not there; docs/graph-challenge.md "
                "says how to make it, and generated = true needs no file"
            )
        return found

    def identity(self) -> Mapping[str, Any]:
        return {"recipe": self.recipe} if self.generated else {"sha256": file_sha256(self.file())}

    def load(self) -> tuple[Images, Images, int]:
        from sparsebench_plugins.graph_challenge.images import drawn, official

        if self.generated:
            found = drawn(self.neurons, self.images, self.seed)
        else:
            found = official(self.file(), self.images)
        return found, found, 2
