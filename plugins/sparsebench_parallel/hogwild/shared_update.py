"""The optimizer's rule, apart from the networks: its state is in shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sparsebench.core.protocols import Optimizer, Schedule
from sparsebench_parallel.hogwild.shared_state import SharedState, Vector

BLOCK = 1 << 15
"""Entries updated at a time: they stay in the cache, and what another worker can see half done
lasts microseconds."""


@dataclass(frozen=True)
class WithoutState:
    """Stands for the optimizer in networks that only compute gradients or outputs."""

    rule: Optimizer

    slots: tuple[str, ...] = ()

    @property
    def learning_rate(self) -> float:
        return self.rule.learning_rate

    @property
    def schedule(self) -> Schedule:
        return self.rule.schedule

    def update(
        self, w: Any, g: Any, state: Any, rate: float, t: int, kind: Literal["weight", "bias"]
    ) -> None:
        """Nothing, so that a rehearsal of a step can pass through."""


def update(
    rule: Optimizer, board: SharedState, gradients: Sequence[Vector], rate: float, t: int
) -> None:
    """Step t on the shared values and state, in place, without a lock.

    Two workers may be at the same entry. A float32 is loaded and stored whole; between the two,
    another's store to it is lost. That is Hogwild's bargain (Niu et al. 2011, arXiv 1106.5730):
    a lost store is one term of a sum less, and a gradient may mix values of several steps.
    Momentum may lose a decay or a step so, and Adam a square while its mean was kept, which for
    a connection just grown is a step too long.
    """
    weights = 2 * len(board.patterns)
    for number, (w, g) in enumerate(zip(board.values, gradients, strict=True)):
        kind: Literal["weight", "bias"] = (
            "weight" if number < weights and number % 2 == 0 else "bias"
        )
        for at in range(0, w.size, BLOCK):
            part = slice(at, at + BLOCK)
            state = [slot[part] for slot in board.state[number]]
            rule.update(w[part], g[part], state, rate, t, kind)
