"""Parameters of the trainer that times an operation. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval


@dataclass(frozen=True)
class KernelParams:
    """kernel   operation that is timed; docs/performance.md says how each is obtained
    repeats  timings, each after a probe of the machine; the median counts
    through  use the backend's own units, array type and layout, as inside a network
    """

    kernel: Literal[
        "forward", "transposed", "sddmm", "backward", "backward-and-step", "index", "drop",
        "grow", "rewire", "evaluate",
    ]  # fmt: skip
    repeats: Annotated[int, Interval(gt=0)] = 7
    through: bool = False
