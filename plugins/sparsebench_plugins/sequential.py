"""The trainer `sequential`: trains one network in one process, batch after batch. Free of heavy
imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.core.observer import Observer

if TYPE_CHECKING:
    from sparsebench.core.training.work import Result, Work


@dataclass(frozen=True)
class Sequential:
    """Runs the training loop of the core without changes."""

    def hidden_from(self, observer: Observer) -> str | None:
        return None

    def warm_up(self, work: Work) -> None:
        from sparsebench.core.training.warmup import warm_up

        warm_up(work, gradients=False)

    def run(self, work: Work) -> Result:
        from sparsebench.core.training.loop import train

        return train(work)
